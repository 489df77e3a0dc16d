using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Cli.Benchmarking;

/// <summary>Weights of a shape with small noise in them: what is computed does not matter, how fast it is does.</summary>
/// <param name="spec">The model.</param>
internal sealed class RandomWeights(DecoderSpec spec) : IWeightSource
{
    private const float Range = 0.02f;

    private readonly ImmutableDictionary<string, WeightInfo> _byName = spec.Weights.ToImmutableDictionary(
        weight => weight.Name, weight => new WeightInfo(weight.Name, WeightType.Float32, weight.Shape), StringComparer.Ordinal);

    public ImmutableArray<WeightInfo> Weights => [.. _byName.Values.OrderBy(weight => weight.Name, StringComparer.Ordinal)];

    public WeightInfo? Find(string name) => _byName.GetValueOrDefault(name);

    public void ReadFloat32(string name, Span<float> destination)
    {
        if (_byName[name].Shape.Length == 1)
        {
            destination.Fill(1);
            return;
        }

        // A 32-bit xorshift (Marsaglia 2003): quick and the same everywhere.
        var state = 2463534242u ^ (uint)destination.Length;
        foreach (ref var value in destination)
        {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            value = ((state * (1f / uint.MaxValue)) - 0.5f) * (2 * Range);
        }
    }

    public void ReadRaw(string name, Span<byte> destination) => ReadFloat32(name, MemoryMarshal.Cast<byte, float>(destination));

    public void Dispose()
    {
    }
}
