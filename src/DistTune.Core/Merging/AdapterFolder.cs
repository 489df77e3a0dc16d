using System.Collections.Immutable;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;

namespace DistTune.Core.Merging;

/// <summary>
/// A LoRA adapter by what it does to each weight of its base, whatever options of PEFT made it: read from a folder, combined from
/// several, or rewritten for other readers.
/// </summary>
public sealed class AdapterFolder
{
    internal AdapterFolder(
        string origin,
        JsonObject config,
        ImmutableArray<AdaptedModule> modules,
        ImmutableSortedDictionary<string, AdapterTensor> replaced,
        ImmutableSortedDictionary<string, AdapterTensor> baseWeights)
    {
        Origin = origin;
        Config = config;
        Modules = modules;
        Replaced = replaced;
        BaseWeights = baseWeights;
    }

    /// <summary>Where it came from, for messages.</summary>
    public string Origin { get; }

    /// <summary>The modules with factors, by ordinal name.</summary>
    public ImmutableArray<AdaptedModule> Modules { get; }

    /// <summary>Weights and biases of the base that were trained themselves, by the base's name.</summary>
    public ImmutableSortedDictionary<string, AdapterTensor> Replaced { get; }

    /// <summary>Weights below factors that PEFT saves along (targeted embeddings and heads), by the base's name.</summary>
    public ImmutableSortedDictionary<string, AdapterTensor> BaseWeights { get; }

    /// <summary>The base model that the adapter names.</summary>
    public string BaseModel => Config["base_model_name_or_path"] is JsonValue value && value.TryGetValue<string>(out var name) ? name : "";

    /// <summary>The fields of adapter_config.json.</summary>
    internal JsonObject Config { get; }

    /// <summary>Reads a folder that PEFT or DistTune wrote.</summary>
    /// <exception cref="DistTuneException">A file is missing or damaged, or the adapter is of a kind that cannot be applied; the message names the field or tensor.</exception>
    public static AdapterFolder Load(string folder) => AdapterFolderReader.Read(folder);

    /// <summary>Writes it as PEFT reads it, and reads it back before it gets its name.</summary>
    /// <param name="folder">The folder to write.</param>
    /// <param name="facts">Further lines of the model card.</param>
    public void Save(string folder, params IEnumerable<KeyValuePair<string, string>> facts) => AdapterFolderWriter.Write(this, folder, [.. facts]);

    /// <summary>What the base is when the adapter starts, for adapters whose start changes it; null for all others.</summary>
    internal string? ChangedBase => Config["init_lora_weights"] is JsonValue value && value.TryGetValue<string>(out var start) && start != "gaussian" && start != "orthogonal" && start != "eva" ? start : null;
}
