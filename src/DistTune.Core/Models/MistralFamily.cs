using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>Mistral 7B and its kin: Llama with a sliding window in every layer (Jiang et al. 2023, arXiv:2310.06825).</summary>
internal sealed class MistralFamily : IModelFamily
{
    private const int DefaultWindow = 4096;

    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["MistralForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        var spec = FamilyReader.Read(reader, new FamilyTraits { Name = "mistral", MaxPositions = 131072 });
        return spec with { Windows = EveryLayer(spec.LayerCount, WindowReader.Width(reader, DefaultWindow)) };
    }

    private static ImmutableArray<int?> EveryLayer(int layers, int? width) => width is null ? [] : [.. Enumerable.Repeat(width, layers)];
}
