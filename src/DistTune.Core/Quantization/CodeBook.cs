using System.Collections.Immutable;

namespace DistTune.Core.Quantization;

/// <summary>
/// The values that codes stand for. A value's code is that of the nearest one; halfway between two, the lower. Where a value is there
/// twice (FP4's zeros), negative values and both zeros take the first, positive ones the second.
/// </summary>
public sealed class CodeBook
{
    private const int DynamicExponents = 7;

    private readonly byte[] _codeOfRank;
    private readonly float[] _midpoints;

    private CodeBook(float[] values)
    {
        Values = [.. values];
        // Stable: of equal values the one with the lower code comes first.
        var order = Enumerable.Range(0, values.Length).OrderBy(code => values[code]).ToArray();
        _codeOfRank = [.. order.Select(code => (byte)code)];
        _midpoints = [.. order.Zip(order.Skip(1), (low, high) => (values[low] + values[high]) / 2)];
    }

    /// <summary>NF4: appendix E of arXiv:2305.14314, as the reference implementation rounds it.</summary>
    public static CodeBook Nf4 { get; } = new(
    [
        -1f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
        -0.09105003625154495f, 0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
        0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1f,
    ]);

    /// <summary>FP4: sign, two exponent bits, one mantissa bit, scaled so that the largest is one.</summary>
    public static CodeBook Fp4 { get; } = new([.. FloatingPoint(1), .. FloatingPoint(-1)]);

    /// <summary>
    /// Eight bits with a sign and an exponent of varying length (Dettmers 2015, arXiv:1511.04561): what double quantisation holds scales
    /// in, and an optimizer its first moment.
    /// </summary>
    public static CodeBook Dynamic { get; } = new(DynamicMap(signed: true));

    /// <summary><see cref="Dynamic"/> without a sign and with one more bit of fraction: for second moments.</summary>
    public static CodeBook DynamicUnsigned { get; } = new(DynamicMap(signed: false));

    /// <summary>The value of each code.</summary>
    public ImmutableArray<float> Values { get; }

    /// <summary>The code of each rank, in ascending order of values.</summary>
    internal ReadOnlySpan<byte> CodeOfRank => _codeOfRank;

    /// <summary>What lies halfway between neighbours: a value's rank is how many of these are below it.</summary>
    internal ReadOnlySpan<float> Midpoints => _midpoints;

    /// <summary>The codes of a 4-bit kind.</summary>
    public static CodeBook Of(FourBitKind kind) => kind == FourBitKind.Nf4 ? Nf4 : Fp4;

    /// <summary>The code of a value that is not NaN.</summary>
    internal byte CodeOf(float value)
    {
        var (low, high) = (0, _midpoints.Length);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (_midpoints[middle] < value)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return _codeOfRank[low];
    }

    private static float[] FloatingPoint(float sign)
    {
        // In twelfths; the subnormal after zero is 1/16 of one.
        float[] twelfths = [0f, 0.0625f, 8f, 12f, 4f, 6f, 2f, 3f];
        return [.. twelfths.Select(value => value == 0 ? 0 : sign * (value / 12f))];
    }

    // Each decade from 1e-6 to 1 is cut into twice as many equal parts as the one below it; the codes are the parts' middles, besides 0 and 1.
    private static float[] DynamicMap(bool signed)
    {
        var values = new List<float> { 0f, 1f };
        for (var decade = 0; decade < DynamicExponents; decade++)
        {
            var parts = 1 << (signed ? decade : decade + 1);
            var scale = (float)Math.Pow(10, decade - (DynamicExponents - 1));
            for (var part = 0; part < parts; part++)
            {
                var middle = (Boundary(part, parts) + Boundary(part + 1, parts)) / 2f;
                values.Add(scale * middle);
                if (signed)
                {
                    values.Add(-(scale * middle));
                }
            }
        }

        values.Sort();
        return [.. values];
    }

    // Evenly from 0.1 to 1, each half counted from its own end and rounded once, as torch.linspace does.
    private static float Boundary(int index, int parts)
    {
        var step = (1f - 0.1f) / parts;
        return index < (parts + 1) / 2 ? MathF.FusedMultiplyAdd(step, index, 0.1f) : MathF.FusedMultiplyAdd(-step, parts - index, 1f);
    }
}
