using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>Qwen2 and Qwen2.5: Llama with biases on q, k and v (Yang et al. 2024, arXiv:2407.10671).</summary>
internal sealed class Qwen2Family : IModelFamily
{
    private const int DefaultWindow = 4096;
    private const int DefaultFullLayers = 28;

    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["Qwen2ForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        var spec = FamilyReader.Read(reader, new FamilyTraits
        {
            Name = "qwen2",
            Biases = new ModuleBiases(QueryKeyValue: true, Output: false, FeedForward: false),
            MaxPositions = 32768,
        });
        return spec with { Windows = ReadWindows(reader, spec.LayerCount) };
    }

    /// <summary>The window counts only if it is switched on, and then from layer <c>max_window_layers</c> upward.</summary>
    internal static ImmutableArray<int?> ReadWindows(ConfigReader reader, int layers)
    {
        var width = reader.Flag("use_sliding_window", false) ? WindowReader.Width(reader, DefaultWindow) : null;
        var first = reader.WholeNumber("max_window_layers", DefaultFullLayers);
        return WindowReader.Read(reader, layers, width, layer => width is not null && layer >= first);
    }
}
