using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Quantization;

namespace DistTune.Goldens.Quantization;

/// <summary>Blockwise 8-bit codes and row-wise int8, bit for bit.</summary>
public sealed class BlockwiseEightBitGolden : IGoldenKind
{
    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
        let root = JsonCase.Root(file)
        where JsonCase.HasAll(root, "cases") && root.GetProperty("cases") is { ValueKind: JsonValueKind.Array } cases && cases.GetArrayLength() > 0
            && JsonCase.HasAll(cases[0], "key", "x", "shape", "dtype", "blocksize")
        let tensors = Path.ChangeExtension(file, ".safetensors")
        where File.Exists(tensors)
        select GoldenCase.OfFile(file, tensors);

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        using var file = TensorFile.Open(golden.Files[1]);
        BlockwiseFourBitGolden.CompareCodes(file, meter);
        foreach (var item in JsonCase.Root(golden.Path).GetProperty("cases").EnumerateArray())
        {
            cancellationToken.ThrowIfCancellationRequested();
            CompareBlocks(item, file, meter);
        }

        if (file.Has("rowwise/x"))
        {
            CompareRows(file, meter);
        }

        return Task.CompletedTask;
    }

    private static void CompareBlocks(JsonElement item, TensorFile file, ErrorMeter meter)
    {
        var key = item.GetProperty("key").GetString()!;
        var blockSize = item.GetProperty("blocksize").GetInt32();
        var values = file.Floats(item.GetProperty("x").GetString()!);
        var codes = new byte[values.Length];
        var scales = new float[(values.Length + blockSize - 1) / blockSize];
        EightBitBlocks.Quantize(values, CodeBook.Dynamic, blockSize, codes, scales);
        meter.Equal($"{key}/q", codes.Select(code => (long)code).SequenceEqual(file.Integers($"{key}/q")), true);
        meter.Absolute($"{key}/absmax", scales, file.Floats($"{key}/absmax"), 0);
        var restored = new float[values.Length];
        EightBitBlocks.Dequantize(codes, scales, CodeBook.Dynamic, blockSize, restored);
        meter.Absolute($"{key}/dequant", Array.ConvertAll(restored, value => Rounded(value, file.Type($"{key}/dequant"))), file.Floats($"{key}/dequant"), 0);
    }

    private static float Rounded(float value, WeightType type) => type switch
    {
        WeightType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)WeightConversion.ToBFloat16(value) << 16),
        WeightType.Float16 => (float)(Half)value,
        _ => value,
    };

    private static void CompareRows(TensorFile file, ErrorMeter meter)
    {
        var shape = file.Shape("rowwise/x");
        var values = file.Floats("rowwise/x");
        var codes = new sbyte[values.Length];
        var scales = new float[shape[0]];
        RowwiseInt8.Quantize(values, (int)shape[1], codes, scales);
        meter.Equal("rowwise/q", codes.Select(code => (long)code).SequenceEqual(file.Integers("rowwise/q")), true);
        meter.Absolute("rowwise/scale", scales, file.Floats("rowwise/scale"), 0);
        var restored = new float[values.Length];
        RowwiseInt8.Dequantize(codes, (int)shape[1], scales, restored);
        meter.Absolute("rowwise/dequant", restored, file.Floats("rowwise/dequant"), 0);
    }
}
