using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Text.Jinja;

namespace DistTune.Core.Quantization;

/// <summary>
/// How a 4-bit weight X lies in a Hugging Face folder: X itself holds the codes, and beside it are X.absmax, X.quant_map, with double
/// quantisation X.nested_absmax and X.nested_quant_map, and X.quant_state.bitsandbytes__nf4, a JSON text in bytes.
/// </summary>
internal static class FourBitKeys
{
    /// <summary>Ends the name of the scales.</summary>
    public const string Scales = ".absmax";

    /// <summary>Ends the name of the sixteen values.</summary>
    public const string Map = ".quant_map";

    /// <summary>Ends the name of the scales of the scales.</summary>
    public const string NestedScales = ".nested_absmax";

    /// <summary>Ends the name of the values that scales' codes stand for.</summary>
    public const string NestedMap = ".nested_quant_map";

    private const string StatePrefix = ".quant_state.bitsandbytes__";
    private const int LongestState = 4096;
    private const int HighestRank = 8;

    /// <summary>Name of a weight's state.</summary>
    public static string State(string weight, FourBitKind kind) => $"{weight}{StatePrefix}{FourBitSettings.Spelling(kind)}";

    /// <summary>The weight whose state has this name, or null if it is not a state's name.</summary>
    public static string? WeightOf(string name)
    {
        var mark = name.LastIndexOf(StatePrefix, StringComparison.Ordinal);
        return mark > 0 ? name[..mark] : null;
    }

    /// <summary>The state's text, with Python's spacing.</summary>
    public static byte[] Write(FourBitState state)
    {
        var shape = string.Join(", ", state.Shape.Select(dimension => dimension.ToString(CultureInfo.InvariantCulture)));
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{{\"quant_type\": \"{FourBitSettings.Spelling(state.Kind)}\", \"blocksize\": {state.BlockSize}, ");
        text.Append(CultureInfo.InvariantCulture, $"\"dtype\": \"{Spelling(state.ValueType)}\", \"shape\": [{shape}]");
        if (state.Nested is { } nested)
        {
            text.Append(CultureInfo.InvariantCulture, $", \"nested_blocksize\": {nested.BlockSize}, \"nested_dtype\": \"float32\", ");
            text.Append(CultureInfo.InvariantCulture, $"\"nested_offset\": {PythonText.Float(nested.Offset)}");
        }

        return Encoding.UTF8.GetBytes(text.Append('}').ToString());
    }

    /// <summary>Reads a state.</summary>
    /// <param name="source">The weights.</param>
    /// <param name="name">The state's name.</param>
    /// <exception cref="DistTuneException">It is not a state, or of a kind that is not known.</exception>
    public static FourBitState Read(IWeightSource source, string name)
    {
        var info = source.Find(name)!;
        if (info.Type != WeightType.UInt8 || info.Length is < 2 or > LongestState)
        {
            throw Fault(name, $"it is {info.Type} with {info.Length} elements, and a state is a text of at most {LongestState} bytes");
        }

        var bytes = new byte[info.Length];
        source.ReadRaw(name, bytes);
        try
        {
            using var document = JsonDocument.Parse(bytes, new JsonDocumentOptions { MaxDepth = 4, AllowDuplicateProperties = false });
            return Read(name, document.RootElement);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or OverflowException)
        {
            throw Fault(name, $"its text cannot be read ({error.Message})");
        }
    }

    /// <summary>A fault of a 4-bit weight.</summary>
    public static DistTuneException Fault(string name, string problem) =>
        new(FaultKind.InvalidFile, $"The 4-bit weight part '{name}' is not as bitsandbytes writes it: {problem}. Fetch or make the quantised folder again.");

    private static FourBitState Read(string name, JsonElement root)
    {
        var kind = root.GetProperty("quant_type").GetString() switch
        {
            "nf4" => FourBitKind.Nf4,
            "fp4" => FourBitKind.Fp4,
            var other => throw Fault(name, $"quant_type is '{other}', expected nf4 or fp4"),
        };
        var blockSize = BlockSize(name, root.GetProperty("blocksize"));
        var type = root.GetProperty("dtype").GetString() switch
        {
            "float32" => WeightType.Float32,
            "bfloat16" => WeightType.BFloat16,
            "float16" => WeightType.Float16,
            var other => throw Fault(name, $"dtype is '{other}', expected float32, bfloat16 or float16"),
        };
        var shape = root.GetProperty("shape").EnumerateArray().Select(dimension => dimension.GetInt64()).ToImmutableArray();
        if (shape.Length is 0 or > HighestRank || shape.Any(dimension => dimension < 1) || shape.Aggregate((Int128)1, (product, dimension) => product * dimension) > (Int128)int.MaxValue * 2)
        {
            throw Fault(name, $"shape is [{string.Join(", ", shape)}]");
        }

        var nested = root.TryGetProperty("nested_blocksize", out var nestedBlock)
            ? new NestedScales(BlockSize(name, nestedBlock), (float)root.GetProperty("nested_offset").GetDouble())
            : null;
        return nested is null || float.IsFinite(nested.Offset)
            ? new FourBitState(kind, blockSize, type, shape, nested)
            : throw Fault(name, $"nested_offset is {nested.Offset}");
    }

    private static int BlockSize(string name, JsonElement element) =>
        element.TryGetInt32(out var size) && size is >= 2 and <= 1 << 20 && size % 2 == 0
            ? size
            : throw Fault(name, $"a block size is {element.GetRawText()}, expected an even number from 2 to {1 << 20}");

    private static string Spelling(WeightType type) => type switch
    {
        WeightType.Float32 => "float32",
        WeightType.BFloat16 => "bfloat16",
        WeightType.Float16 => "float16",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Weights are restored as Float32, BFloat16 or Float16."),
    };
}
