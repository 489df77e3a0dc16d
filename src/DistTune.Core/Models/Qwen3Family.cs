using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>Qwen3, dense: query and key heads are normed, biases are gone (Yang et al. 2025, arXiv:2505.09388).</summary>
internal sealed class Qwen3Family : IModelFamily
{
    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["Qwen3ForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        var attentionBias = reader.Flag("attention_bias", false);
        var spec = FamilyReader.Read(reader, new FamilyTraits
        {
            Name = "qwen3",
            Biases = new ModuleBiases(attentionBias, attentionBias, FeedForward: false),
            QueryKeyNorm = true,
            HeadDimension = 128,
            MaxPositions = 32768,
        });
        return spec with { Windows = Qwen2Family.ReadWindows(reader, spec.LayerCount) };
    }
}
