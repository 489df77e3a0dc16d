using System.Numerics;

namespace DistTune.Core.Quantization;

/// <summary>
/// The largest magnitude of a block, and how values are divided by it. The reference multiplies whole blocks by the reciprocal and
/// divides a short last one, which rounds otherwise and keeps the clamped scale.
/// </summary>
internal readonly struct BlockScale
{
    private const float Least = 1e-38f;

    private readonly float _operand;
    private readonly bool _divides;

    private BlockScale(float largest, bool isWhole)
    {
        var clamped = MathF.Max(largest, Least);
        _divides = !isWhole;
        _operand = isWhole ? 1f / clamped : clamped;
        Stored = isWhole ? largest : clamped;
    }

    /// <summary>The scale that is kept.</summary>
    public float Stored { get; }

    /// <summary>The scale of a block.</summary>
    /// <exception cref="DistTuneException">A value is not finite.</exception>
    public static BlockScale Of(ReadOnlySpan<float> block, bool isWhole)
    {
        var largest = LargestMagnitude(block);
        return float.IsFinite(largest)
            ? new BlockScale(largest, isWhole)
            : throw new DistTuneException(FaultKind.InvalidFile, $"A weight that is to be quantised is {largest}; only finite numbers can be. Fetch the base again.");
    }

    /// <summary>A value over the scale. It may end a rounding error beyond 1, where the outermost code is nearest all the same.</summary>
    public float Apply(float value) => _divides ? value / _operand : value * _operand;

    /// <summary>As <see cref="Apply(float)"/>, for several values.</summary>
    public Vector<float> Apply(Vector<float> values) => _divides ? values / new Vector<float>(_operand) : values * _operand;

    /// <summary>Checks that there is a scale for every block.</summary>
    public static void Check(int length, int blockSize, int scales)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockSize, 1);
        if (scales != ((long)length + blockSize - 1) / blockSize)
        {
            throw new ArgumentException($"{length} values in blocks of {blockSize} have {((long)length + blockSize - 1) / blockSize} scales, got {scales}.", nameof(scales));
        }
    }

    // NaN where there is one: it is never below anything.
    private static float LargestMagnitude(ReadOnlySpan<float> values)
    {
        var largest = Vector<float>.Zero;
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var magnitude = Vector.Abs(new Vector<float>(values[i..]));
            largest = Vector.Max(largest, magnitude);
            // Zero for every finite value, NaN for any other.
            sum += magnitude - magnitude;
        }

        var result = 0f;
        for (var lane = 0; lane < Vector<float>.Count; lane++)
        {
            result = MathF.Max(result, largest[lane] + sum[lane]);
        }

        for (; i < values.Length; i++)
        {
            result = MathF.Max(result, MathF.Abs(values[i]));
        }

        return result;
    }
}
