using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>An adapter in the folder format of PEFT: adapter_config.json, adapter_model.safetensors and a model card.</summary>
public sealed class PeftAdapter
{
    /// <summary>The configuration's file name.</summary>
    public const string ConfigName = "adapter_config.json";

    /// <summary>The weights' file name.</summary>
    public const string WeightsName = "adapter_model.safetensors";

    /// <summary>The model card's file name.</summary>
    public const string CardName = "README.md";

    private readonly string _folder;
    private readonly Dictionary<string, (ImmutableArray<long> Shape, float[] Values)> _tensors;

    private PeftAdapter(string folder, AdapterSettings settings, string? baseModel, Dictionary<string, (ImmutableArray<long>, float[])> tensors)
    {
        _folder = folder;
        _tensors = tensors;
        Settings = settings;
        BaseModel = baseModel;
    }

    /// <summary>What the configuration says, so that <see cref="AdapterLayout.Create"/> gives this adapter's layout.</summary>
    public AdapterSettings Settings { get; }

    /// <summary>The base model that the adapter names, if any.</summary>
    public string? BaseModel { get; }

    /// <summary>The tensors' names, sorted.</summary>
    public ImmutableArray<string> Names => [.. _tensors.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Writes the folder, reads it back, compares every value, and only then gives it its name.</summary>
    /// <param name="folder">The adapter's folder.</param>
    /// <param name="layout">The trained tensors, as <see cref="AdapterLayout.Create"/> made them for LoRA.</param>
    /// <param name="values">The flat vector.</param>
    /// <param name="settings">Rank, alpha, targets.</param>
    /// <param name="baseModel">Name or path of the base, as loaders resolve it.</param>
    /// <param name="card">What the model card says beyond that.</param>
    /// <param name="weights">The base's weights: where embedding or head is adapted, PEFT keeps their frozen matrix beside the adapter; null leaves it out.</param>
    /// <exception cref="DistTuneException">A value is not finite, or what was written does not read back as it should.</exception>
    public static void Save(
        string folder,
        ParameterLayout layout,
        ReadOnlyMemory<float> values,
        AdapterSettings settings,
        string baseModel,
        AdapterCard? card = null,
        IWeightSource? weights = null)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        if (settings.Kind != AdapterKind.Lora)
        {
            throw new ArgumentException("Only a LoRA adapter has this format; all weights are saved as a model folder.", nameof(settings));
        }

        FlatTensors.Check(layout, values.Span);
        AtomicFile.WriteFolder(
            folder,
            staging =>
            {
                AtomicFile.WriteText(Path.Combine(staging, CardName), (card ?? new AdapterCard()).Render(layout, settings, baseModel));
                AtomicFile.WriteText(Path.Combine(staging, ConfigName), PeftConfig.Render(layout, settings, baseModel));
                PeftTensors.Write(Path.Combine(staging, WeightsName), layout, values, weights);
            },
            staging =>
            {
                if (!Load(staging).Holds(layout, values.Span))
                {
                    throw FileFault.Of(
                        folder,
                        "the adapter that was written does not read back equal",
                        "Check the disk; the adapter was not published.");
                }
            });
    }

    /// <summary>Reads a folder that PEFT or DistTune wrote. bf16 and fp16 values are widened to fp32.</summary>
    /// <exception cref="DistTuneException">A file is missing or damaged, or the adapter is of a kind that is not supported; the message names the field.</exception>
    public static PeftAdapter Load(string folder)
    {
        var configPath = Path.Combine(folder, ConfigName);
        if (!File.Exists(configPath))
        {
            throw new DistTuneException(FaultKind.Configuration, $"There is no {ConfigName} in '{folder}'. Name a PEFT adapter's folder.");
        }

        var weightsPath = Path.Combine(folder, WeightsName);
        if (!File.Exists(weightsPath))
        {
            var pickle = File.Exists(Path.Combine(folder, "adapter_model.bin"));
            throw FileFault.Of(
                folder,
                $"it holds no {WeightsName}",
                pickle ? "adapter_model.bin is a pickle file and is never opened; save the adapter with safe_serialization=True and name that folder." : "Fetch the adapter again.");
        }

        var tensors = ReadTensors(weightsPath);
        var (settings, baseModel) = PeftConfig.Read(configPath);
        return new PeftAdapter(folder, settings, baseModel, tensors);
    }

    /// <summary>Lays the tensors out as a flat vector.</summary>
    /// <param name="layout">The layout they must fill exactly.</param>
    /// <param name="zeroMissingB">Takes a missing B as zero, for adapters that were saved before training without it.</param>
    /// <exception cref="DistTuneException">Tensors are missing, left over or of another shape; the message lists them.</exception>
    public float[] ToVector(ParameterLayout layout, bool zeroMissingB = false)
    {
        ArgumentNullException.ThrowIfNull(layout);

        // A layout that the tensors fill is as long as they are, but for gaps; one that only a hostile configuration claims gets no room.
        var room = _tensors.Values.Sum(tensor => (long)tensor.Values.Length) + ((long)ParameterLayout.Alignment * layout.Entries.Length);
        var values = layout.Length <= (zeroMissingB ? Array.MaxLength : room) ? new float[layout.Length] : [];
        var faults = Fill(layout, values)
            .Where(fault => !(zeroMissingB && fault is { Kind: TensorFault.Missing, Name: var name } && name.EndsWith(AdapterLayout.SuffixB, StringComparison.Ordinal)))
            .ToArray();
        return faults.Length == 0 ? values : throw Mismatch(faults, "Use the adapter's own base model, rank and target_modules.");
    }

    /// <summary>Lays the tensors over values that are there already, so that what the adapter lacks stays and what it has too much is left out.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="values">The flat vector, changed in place.</param>
    /// <param name="strict">Whether missing and left-over tensors are faults; another shape always is one.</param>
    /// <returns>What is missing and what was left out, a line each; none if <paramref name="strict"/>.</returns>
    /// <exception cref="DistTuneException">Tensors do not fit; the message lists them.</exception>
    public ImmutableArray<string> Overlay(ParameterLayout layout, Span<float> values, bool strict)
    {
        ArgumentNullException.ThrowIfNull(layout);
        var differences = Fill(layout, values).ToArray();
        var faults = differences.Where(fault => strict || fault.Kind == TensorFault.Different).ToArray();
        if (faults.Length > 0)
        {
            throw Mismatch(faults, strict
                ? "Use the adapter's own base model, rank and target_modules, or set init_adapter_strict: false to take what fits."
                : "Use the adapter's own base model and rank.");
        }

        return [.. differences.Select(difference => difference.Text)];
    }

    /// <summary>Refuses an adapter that belongs on a base that its start has changed, which a plain base is not.</summary>
    /// <exception cref="DistTuneException">It is such an adapter.</exception>
    public void RequireUnchangedBase()
    {
        if (Settings.Start is LoraStart.Pissa or LoraStart.Loftq)
        {
            throw FileFault.Of(
                _folder,
                $"init_lora_weights is '{Settings.Start.ToString().ToLowerInvariant()}': the adapter belongs on the changed base that its training started from",
                "Convert it to a plain adapter first.");
        }
    }

    /// <summary>Refuses an adapter whose factors count by another scale than a run's, or in another way: its values would mean something else there.</summary>
    /// <param name="layout">The run's layout.</param>
    /// <param name="wanted">The run's adapter.</param>
    /// <exception cref="DistTuneException">A scale differs; the message names the module.</exception>
    public void RequireScales(ParameterLayout layout, AdapterSettings wanted)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(wanted);
        foreach (var entry in layout.Entries.Where(entry => entry.Role is TensorRole.LoraA or TensorRole.EmbeddingA))
        {
            var (expected, actual) = (wanted.ScaleOf(entry.Module), Settings.ScaleOf(entry.Module));
            if (!expected.Equals(actual))
            {
                throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"The adapter {_folder} scales '{entry.Module}' by {actual} (r {Settings.RankOf(entry.Module)}); the configuration by {expected} (r {wanted.RankOf(entry.Module)}). Make lora_r, lora_alpha, their patterns and use_rslora equal."));
            }
        }
    }

    private bool Holds(ParameterLayout layout, ReadOnlySpan<float> values)
    {
        if (Fill(layout, []).Any())
        {
            return false;
        }

        foreach (var entry in layout.Entries)
        {
            if (!_tensors[entry.Name].Values.AsSpan().SequenceEqual(FlatTensors.Slice(values, entry)))
            {
                return false;
            }
        }

        return true;
    }

    private IEnumerable<(TensorFault Kind, string Name, string Text)> Fill(ParameterLayout layout, Span<float> values)
    {
        var faults = new List<(TensorFault, string, string)>();
        var known = PeftTensors.Frozen(layout).Select(frozen => frozen.Key).ToHashSet(StringComparer.Ordinal);
        foreach (var entry in layout.Entries)
        {
            var names = entry.Aliases.Insert(0, entry.Name);
            known.UnionWith(names);
            var found = names.Where(_tensors.ContainsKey).ToArray();
            if (found.Length == 0)
            {
                faults.Add((TensorFault.Missing, entry.Name, $"missing: {entry.Name}"));
                continue;
            }

            foreach (var name in found)
            {
                var tensor = _tensors[name];
                if (!tensor.Shape.SequenceEqual(entry.Shape))
                {
                    faults.Add((TensorFault.Different, name, $"shape [{string.Join(", ", tensor.Shape)}] instead of [{string.Join(", ", entry.Shape)}]: {name}"));
                }
                else if (!tensor.Values.AsSpan().SequenceEqual(_tensors[found[0]].Values))
                {
                    faults.Add((TensorFault.Different, name, $"other values than {found[0]}, with which it is tied: {name}"));
                }
                else if (!values.IsEmpty)
                {
                    tensor.Values.CopyTo(values[(int)entry.Offset..]);
                }
            }
        }

        faults.AddRange(_tensors.Keys.Where(name => !known.Contains(name)).Order(StringComparer.Ordinal).Select(name => (TensorFault.LeftOver, name, $"not expected: {name}")));
        return faults;
    }

    private static Dictionary<string, (ImmutableArray<long>, float[])> ReadTensors(string path)
    {
        using var file = SafetensorsFile.Open(path);
        var tensors = new Dictionary<string, (ImmutableArray<long>, float[])>(StringComparer.Ordinal);
        foreach (var weight in file.Weights)
        {
            var values = new float[weight.Length];
            file.ReadFloat32(weight.Name, values);
            tensors.Add(weight.Name, (weight.Shape, values));
        }

        return tensors;
    }

    private DistTuneException Mismatch((TensorFault Kind, string Name, string Text)[] faults, string cure)
    {
        return FileFault.Of(_folder, $"{faults.Length} tensors do not fit the run's adapter ({Listing.Of([.. faults.Select(fault => fault.Text)])})", cure);
    }

    private enum TensorFault
    {
        Missing,
        LeftOver,
        Different,
    }
}
