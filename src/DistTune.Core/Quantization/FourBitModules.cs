using DistTune.Core.Models;

namespace DistTune.Core.Quantization;

/// <summary>What of a base is held in four bits.</summary>
public static class FourBitModules
{
    /// <summary>The weights of the layers' linear modules; the output head, embeddings and norms are never among them.</summary>
    public static IEnumerable<string> Of(DecoderSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        return spec.Linears.Where(module => module.Layer < spec.LayerCount).Select(module => $"{module.Name}.weight");
    }
}
