using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Quantization;

namespace DistTune.Goldens.Quantization;

/// <summary>Blockwise 4-bit quantisation: codes, scales, nested scales and restored values, bit for bit.</summary>
public sealed class BlockwiseFourBitGolden : IGoldenKind
{
    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
        let root = JsonCase.Root(file)
        where JsonCase.HasAll(root, "cases") && root.GetProperty("cases") is { ValueKind: JsonValueKind.Array } cases && cases.GetArrayLength() > 0
            && JsonCase.HasAll(cases[0], "key", "weight", "shape", "quant_type", "blocksize", "nested")
        let tensors = Path.ChangeExtension(file, ".safetensors")
        where File.Exists(tensors)
        select GoldenCase.OfFile(file, tensors);

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        using var file = TensorFile.Open(golden.Files[1]);
        CompareCodes(file, meter);
        foreach (var item in JsonCase.Root(golden.Path).GetProperty("cases").EnumerateArray())
        {
            cancellationToken.ThrowIfCancellationRequested();
            Compare(item, file, meter);
        }

        return Task.CompletedTask;
    }

    /// <summary>Compares the values of every code that a file lists.</summary>
    internal static void CompareCodes(TensorFile file, ErrorMeter meter)
    {
        foreach (var (name, book) in (ReadOnlySpan<(string, CodeBook)>)
            [("code/nf4", CodeBook.Nf4), ("code/fp4", CodeBook.Fp4), ("code/dynamic8", CodeBook.Dynamic), ("code/dynamic8_unsigned", CodeBook.DynamicUnsigned)])
        {
            if (file.Has(name))
            {
                meter.Absolute(name, book.Values.AsSpan(), file.Floats(name), 0);
            }
        }
    }

    private static void Compare(JsonElement item, TensorFile file, ErrorMeter meter)
    {
        var key = item.GetProperty("key").GetString()!;
        var weight = item.GetProperty("weight").GetString()!;
        var nested = item.GetProperty("nested").GetBoolean();
        var kind = item.GetProperty("quant_type").GetString() switch
        {
            "nf4" => FourBitKind.Nf4,
            "fp4" => FourBitKind.Fp4,
            var other => throw new GoldenUnsupportedException($"quant_type {other}"),
        };
        if (nested && item.GetProperty("nested_blocksize").GetInt32() != FourBitSettings.NestedBlockSize)
        {
            throw new GoldenUnsupportedException("a nested block size other than 256");
        }

        var settings = new FourBitSettings(kind, item.GetProperty("blocksize").GetInt32(), nested);
        var shape = file.Shape(weight);
        var empty = FourBitTensor.EmptyState(shape, WeightType.Float32, settings);
        var bytes = new FourBitBytes { Packed = new byte[empty.PackedBytes], Scales = new byte[empty.ScaleBytes], Nested = new float[empty.NestedCount] };
        var state = FourBitTensor.Quantize(file.Floats(weight), shape, WeightType.Float32, settings, bytes);
        meter.Equal($"{key}/packed", bytes.Packed.SequenceEqual(Bytes(file, $"{key}/packed")), true);
        if (nested)
        {
            CompareNested(key, weight, file, state, bytes, meter);
        }
        else
        {
            meter.Absolute($"{key}/absmax", MemoryMarshal.Cast<byte, float>(bytes.Scales), file.Floats($"{key}/absmax"), 0);
        }

        CompareValues(key, file, state, bytes, meter);
    }

    private static void CompareNested(string key, string weight, TensorFile file, FourBitState state, FourBitBytes bytes, ErrorMeter meter)
    {
        var offset = file.Floats($"{key}/nested_offset")[0];
        meter.Absolute($"{key}/nested_offset", state.Nested!.Offset, offset, MathF.BitIncrement(MathF.Abs(offset)) - MathF.Abs(offset));
        if (!state.Nested.Offset.Equals(offset))
        {
            // The mean may be an ulp off, and all that follows with it: go on from the reference's.
            Requantize(file, weight, state, offset, bytes);
        }

        meter.Equal($"{key}/absmax", bytes.Scales.SequenceEqual(Bytes(file, $"{key}/absmax")), true);
        meter.Absolute($"{key}/nested_absmax", bytes.Nested, file.Floats($"{key}/nested_absmax"), 0);
        var restored = new float[state.ScaleCount];
        FourBitTensor.RestoreScales(state with { Nested = state.Nested with { Offset = offset } }, bytes, 0, restored);
        meter.Absolute($"{key}/absmax_restored", restored, file.Floats($"{key}/absmax_restored"), 0);
    }

    private static void Requantize(TensorFile file, string weight, FourBitState state, float offset, FourBitBytes bytes)
    {
        var scales = new float[state.ScaleCount];
        FourBitBlocks.Quantize(file.Floats(weight), state.Kind, state.BlockSize, bytes.Packed, scales);
        EightBitBlocks.Quantize(Array.ConvertAll(scales, scale => scale - offset), CodeBook.Dynamic, state.Nested!.BlockSize, bytes.Scales, bytes.Nested);
    }

    private static void CompareValues(string key, TensorFile file, FourBitState state, FourBitBytes bytes, ErrorMeter meter)
    {
        var exact = state.Nested is null ? state : state with { Nested = state.Nested with { Offset = file.Floats($"{key}/nested_offset")[0] } };
        foreach (var name in (ReadOnlySpan<string>)["dequant", "dequant_bf16"])
        {
            if (!file.Has($"{key}/{name}"))
            {
                continue;
            }

            var expected = file.Floats($"{key}/{name}");
            var typed = exact with { ValueType = file.Type($"{key}/{name}") };
            var values = new float[expected.Length];
            FourBitTensor.Dequantize(typed, bytes, 0, values);
            meter.Absolute($"{key}/{name}", values, expected, 0);
            // Any stretch of it is the same numbers.
            var start = expected.Length / 3;
            var part = new float[expected.Length / 2];
            FourBitTensor.Dequantize(typed, bytes, start, part);
            meter.Absolute($"{key}/{name} from {start}", part, expected.AsSpan(start, part.Length), 0);
        }
    }

    private static ImmutableArray<byte> Raw(TensorFile file, string name) => [.. file.Integers(name).Select(value => (byte)value)];

    private static ReadOnlySpan<byte> Bytes(TensorFile file, string name) => Raw(file, name).AsSpan();
}
