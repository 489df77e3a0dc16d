using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace DistTune.Core.Formats;

/// <summary>How one architecture's GGUF files map to Hugging Face's names, row order and config.json.</summary>
internal interface IGgufArchitecture
{
    /// <summary>The value of <c>general.architecture</c>.</summary>
    string Name { get; }

    /// <summary>Hugging Face's name of a tensor; null for one that is no weight (such as a table of rotary factors).</summary>
    /// <exception cref="DistTuneException">The tensor belongs to a variant that is not supported.</exception>
    string? WeightName(GgufFile file, string tensor);

    /// <summary>
    /// How many heads' rows are interleaved in the tensor: Hugging Face's row s·d/2 + i of a head (s is 0 or 1) is GGUF's row 2i + s.
    /// 0 where rows keep their order.
    /// </summary>
    int InterleavedHeads(GgufFile file, string tensor);

    /// <summary>The model's config.json.</summary>
    JsonObject Configuration(GgufFile file);
}

/// <summary>The architectures that can be read.</summary>
internal static class GgufArchitectures
{
    private static readonly ImmutableArray<IGgufArchitecture> All =
    [
        new LlamaGguf(),
    ];

    /// <summary>The architecture of a file.</summary>
    /// <exception cref="DistTuneException">The file names none, or one that is not supported, or is not a model.</exception>
    public static IGgufArchitecture Of(GgufFile file)
    {
        var kind = file.Metadata.FindString("general.type") ?? "model";
        if (kind != "model")
        {
            throw FileFault.Of(file.Path, $"it holds a {kind}, not a model", "Name the base model's file.");
        }

        var name = file.Metadata.FindString("general.architecture")
            ?? throw FileFault.Of(file.Path, "it has no general.architecture", GgufReader.FetchAgain);
        return All.FirstOrDefault(architecture => architecture.Name == name)
            ?? throw new DistTuneException(
                FaultKind.Configuration,
                $"{file.Path}: general.architecture is '{name}', which is not supported. Supported: {string.Join(", ", All.Select(architecture => architecture.Name))}. Use a base model of that kind.");
    }
}
