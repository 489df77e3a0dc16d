using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>
/// Gemma 3, text only: query and key heads are normed, and layers with a window rotate by a base of their own (Gemma Team 2025,
/// arXiv:2503.19786).
/// </summary>
internal sealed class Gemma3Family : IModelFamily
{
    private const int DefaultWindow = 4096;
    private const int DefaultPattern = 6;
    private const double DefaultTheta = 1e6;
    private const double DefaultLocalTheta = 10000;

    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["Gemma3ForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        var traits = new FamilyTraits
        {
            Name = "gemma3_text",
            QueryKeyNorm = true,
            Theta = DefaultTheta,
            RotaryPerLayerType = true,
            LocalTheta = DefaultLocalTheta,
            MaxPositions = 131072,
        };
        // The configuration has a field for a cap on attention scores, too, but the reference reads it nowhere: heads are normed instead.
        var spec = Gemma.Read(reader, traits, logitSoftCap: null);
        var pattern = Pattern(reader);
        return spec with
        {
            Windows = WindowReader.Read(reader, spec.LayerCount, WindowReader.Width(reader, DefaultWindow), layer => (layer + 1) % pattern != 0),
        };
    }

    // Both spellings mean that every so many layers one sees everything.
    private static int Pattern(ConfigReader reader) =>
        reader.PositiveInteger("sliding_window_pattern", reader.PositiveInteger("_sliding_window_pattern", DefaultPattern));
}
