using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Modeling;
using DistTune.Modeling.Loralib;

namespace DistTune.Goldens.Layers;

/// <summary>Makes the layer that a report's entry and its tensors describe.</summary>
internal static class LoralibLayers
{
    private const int MostStride = 4;

    /// <summary>The layer with its initial state.</summary>
    public static LoraLayer Make(JsonElement entry, LayerFile file)
    {
        var rank = entry.GetProperty("r").GetInt32();
        var options = new LoraOptions(rank, JsonCase.Number(entry, "lora_alpha"));
        var layer = file.File.Has("init.conv.weight") ? Convolve(options, file) : Flat(entry, options, file);
        Load(layer, file);
        return layer;
    }

    /// <summary>A convolution of so many dimensions.</summary>
    public static ConvLora Convolution(int dimensions, long inChannels, long outChannels, long kernel, LoraOptions options, ConvOptions convolution, bool bias) => dimensions switch
    {
        1 => new Conv1d(inChannels, outChannels, kernel, options, convolution, bias),
        2 => new Conv2d(inChannels, outChannels, kernel, options, convolution, bias),
        3 => new Conv3d(inChannels, outChannels, kernel, options, convolution, bias),
        _ => throw new GoldenUnsupportedException($"a convolution of {dimensions} dimensions"),
    };

    /// <summary>Whether x holds ids.</summary>
    public static bool IsIndex(LayerFile file) => file.File.Type("x") is WeightType.Int32 or WeightType.Int64;

    /// <summary>Name of the initial weight.</summary>
    public static string WeightName(JsonElement entry) => JsonCase.HasAll(entry.GetProperty("parameters"), "weight") ? "init.weight" : "init.conv.weight";

    /// <summary>Compares names, order, shapes and what is trainable.</summary>
    public static void CompareParameters(JsonElement entry, LoraLayer layer, ErrorMeter meter)
    {
        var expected = entry.GetProperty("parameters").EnumerateObject()
            .Select(pair => $"{pair.Name} {pair.Value.GetProperty("shape").GetRawText().ReplaceLineEndings("").Replace(" ", "", StringComparison.Ordinal)} {pair.Value.GetProperty("requires_grad").GetBoolean()}");
        var actual = layer.NamedParameters().Select(pair => $"{pair.Key} [{string.Join(',', pair.Value.shape)}] {pair.Value.requires_grad}");
        meter.Equal("parameters", string.Join("; ", actual), string.Join("; ", expected));
        var scaling = entry.GetProperty("scaling");
        meter.Absolute("scaling", layer.Scaling ?? 0, scaling.ValueKind == JsonValueKind.Number ? scaling.GetDouble() : 0, 1e-12);
    }

    private static void Load(LoraLayer layer, LayerFile file) =>
        layer.LoadStateDict(layer.NamedParameters().Select(pair => KeyValuePair.Create(pair.Key, file.Exact($"init.{pair.Key}"))).ToList());

    private static LoraLayer Flat(JsonElement entry, LoraOptions options, LayerFile file)
    {
        var shape = file.File.Shape("init.weight");
        if (IsIndex(file))
        {
            return new Embedding(shape[0], shape[1], options);
        }

        var fanInFanOut = entry.GetProperty("fan_in_fan_out").ValueKind == JsonValueKind.True;
        var (inFeatures, outFeatures) = fanInFanOut ? (shape[0], shape[1]) : (shape[1], shape[0]);
        var bias = file.File.Has("init.bias");
        var enabled = entry.GetProperty("enable_lora");
        return enabled.ValueKind == JsonValueKind.Array
            ? new MergedLinear(inFeatures, outFeatures, [.. enabled.EnumerateArray().Select(item => item.ValueKind == JsonValueKind.True)], options, fanInFanOut, bias)
            : new Linear(inFeatures, outFeatures, options, fanInFanOut, bias);
    }

    /// <summary>Stride, padding and dilation are in no file: of those that give the output's size, the one that gives its values.</summary>
    private static ConvLora Convolve(LoraOptions options, LayerFile file)
    {
        var (weight, x) = (file.File.Shape("init.conv.weight"), file.File.Shape("x"));
        var (groups, kernel, dimensions) = (x[1] / weight[1], weight[2], weight.Length - 2);
        var expected = file.File.Floats("y_train");
        var best = (Error: double.PositiveInfinity, Options: new ConvOptions(Groups: groups));
        foreach (var candidate in Candidates(kernel, groups).Where(candidate => Fits(candidate, kernel, x[2], file.File.Shape("y_train")[2])))
        {
            using var scope = torch.NewDisposeScope();
            using var layer = Convolution(dimensions, x[1], weight[0], kernel, options, candidate, file.File.Has("init.conv.bias"));
            Load(layer, file);
            var actual = HostMemory.Download(layer.Forward(file.Exact("x")).detach());
            var error = actual.Length == expected.Length ? actual.Zip(expected, (one, other) => Math.Abs(one - other)).Max() : double.PositiveInfinity;
            best = error < best.Error ? (error, candidate) : best;
        }

        return Convolution(dimensions, x[1], weight[0], kernel, options, best.Options, file.File.Has("init.conv.bias"));
    }

    private static IEnumerable<ConvOptions> Candidates(long kernel, long groups) =>
        from dilation in Enumerable.Range(1, 3)
        from padding in Enumerable.Range(0, (int)(kernel * dilation))
        from stride in Enumerable.Range(1, MostStride)
        select new ConvOptions(stride, padding, dilation, groups);

    private static bool Fits(ConvOptions options, long kernel, long size, long result)
    {
        var span = size + (2 * options.Padding) - (options.Dilation * (kernel - 1)) - 1;
        return span >= 0 && (span / options.Stride) + 1 == result;
    }
}
