using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>Writes a whole model as a Hugging Face folder.</summary>
public static class ModelFolder
{
    /// <summary>What is copied from the source folder beside config.json, where it is there.</summary>
    private static readonly string[] Companions =
    [
        ModelFamilies.GenerationConfigName, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt",
    ];

    /// <summary>Writes config.json, model.safetensors and the tokenizer's files, and reads them back before they get their names.</summary>
    /// <param name="folder">The folder to write; other files in it stay.</param>
    /// <param name="layout">Every weight by its own name, as <see cref="AdapterLayout.Create"/> made it for <see cref="AdapterKind.Full"/>.</param>
    /// <param name="values">The flat vector.</param>
    /// <param name="sourceFolder">The folder that config.json and the tokenizer's files are copied from.</param>
    /// <param name="type">Float32 keeps every bit; BFloat16 and Float16 round to nearest even.</param>
    /// <exception cref="DistTuneException">A value is not finite, or what was written does not read back as it should.</exception>
    public static void Save(string folder, ParameterLayout layout, ReadOnlyMemory<float> values, string sourceFolder, WeightType type)
    {
        ArgumentNullException.ThrowIfNull(layout);
        FlatTensors.Check(layout, values.Span);
        var config = ReadConfig(Path.Combine(sourceFolder, ModelFamilies.ConfigName));
        SetType(config, type);
        AtomicFile.WriteFolder(
            folder,
            staging =>
            {
                AtomicFile.WriteText(Path.Combine(staging, ModelFamilies.ConfigName), JsonFile.Render(config));
                CopyCompanions(sourceFolder, staging);
                FlatTensors.Write(Path.Combine(staging, WeightSources.SingleFileName), layout, values, type);
            },
            Verify);
    }

    /// <summary>Copies the tokenizer's files and the generation configuration, as far as they are there.</summary>
    /// <exception cref="DistTuneException">As <see cref="FindCompanions"/>.</exception>
    internal static void CopyCompanions(string sourceFolder, string folder)
    {
        foreach (var path in FindCompanions(sourceFolder))
        {
            AtomicFile.Write(Path.Combine(folder, Path.GetFileName(path)), stream =>
            {
                using var source = File.OpenRead(path);
                source.CopyTo(stream);
            });
        }
    }

    /// <summary>The tokenizer's files and the generation configuration of a folder that are there.</summary>
    /// <exception cref="DistTuneException">One is no file, or a link out of the folder: what it leads to would be published under a harmless name.</exception>
    internal static ImmutableArray<string> FindCompanions(string folder)
    {
        var found = ImmutableArray.CreateBuilder<string>();
        foreach (var name in Companions.Where(name => File.Exists(Path.Combine(folder, name))))
        {
            found.Add(ConfinedFile.Within(Path.GetFullPath(folder), name, folder));
            RegularFile.Check(found[^1]);
        }

        return found.ToImmutable();
    }

    /// <summary>Checks a folder: the configuration is one that is supported, and every weight has its shape.</summary>
    internal static void Verify(string folder)
    {
        using var weights = WeightSources.Open(folder);
        ModelFamilies.CheckWeights(ModelFamilies.Describe(folder), weights, folder);
    }

    /// <summary>Says the weights' type in both spellings that loaders know.</summary>
    internal static void SetType(JsonObject config, WeightType type)
    {
        config["torch_dtype"] = type switch
        {
            WeightType.Float32 => "float32",
            WeightType.BFloat16 => "bfloat16",
            WeightType.Float16 => "float16",
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Models are saved as Float32, BFloat16 or Float16."),
        };
        config["dtype"] = config["torch_dtype"]!.DeepClone();
    }

    /// <summary>A configuration file's fields.</summary>
    internal static JsonObject ReadConfig(string path)
    {
        using var document = JsonFile.Read(path);
        return document.RootElement.ValueKind == JsonValueKind.Object
            ? JsonObject.Create(document.RootElement.Clone())!
            : throw FileFault.Of(path, "it is not a JSON object", "Correct the file or fetch it again.");
    }
}
