using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>Llama 1 to 3 and what shares their architecture, such as SmolLM2 (Touvron et al. 2023, arXiv:2302.13971).</summary>
internal sealed class LlamaFamily : IModelFamily
{
    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["LlamaForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        var attentionBias = reader.Flag("attention_bias", false);
        return FamilyReader.Read(reader, new FamilyTraits
        {
            Name = "llama",
            Biases = new ModuleBiases(attentionBias, attentionBias, reader.Flag("mlp_bias", false)),
            MaxPositions = 2048,
        });
    }
}
