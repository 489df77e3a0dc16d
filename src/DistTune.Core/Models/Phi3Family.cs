using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>Phi-3 and Phi-3.5: q, k, v in one module, gate and up in another, LongRoPE (Abdin et al. 2024, arXiv:2404.14219).</summary>
internal sealed class Phi3Family : IModelFamily
{
    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["Phi3ForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        var spec = FamilyReader.Read(reader, new FamilyTraits
        {
            Name = "phi3",
            FusedProjections = true,
            PartialRotary = true,
            Epsilon = 1e-5,
            MaxPositions = 4096,
        });
        var width = WindowReader.Width(reader, otherwise: null);
        return spec with { Windows = width is null ? [] : [.. Enumerable.Repeat(width, spec.LayerCount)] };
    }
}
