using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>
/// Gemma 2: four norms a layer with a gain of one plus the weight, capped attention scores and logits, scaled embeddings, a window in
/// every other layer (Gemma Team 2024, arXiv:2408.00118).
/// </summary>
internal sealed class Gemma2Family : IModelFamily
{
    private const int DefaultWindow = 4096;

    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["Gemma2ForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        var spec = Gemma.Read(reader, new FamilyTraits { Name = "gemma2", MaxPositions = 8192 }, logitSoftCap: 30);
        return spec with
        {
            AttentionSoftCap = Gemma.Cap(reader, "attn_logit_softcapping", 50),
            Windows = WindowReader.Read(reader, spec.LayerCount, WindowReader.Width(reader, DefaultWindow), layer => layer % 2 == 0),
        };
    }
}
