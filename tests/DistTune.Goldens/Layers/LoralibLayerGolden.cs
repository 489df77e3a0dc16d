using System.Text.Json;
using DistTune.Core;
using DistTune.Modeling;
using DistTune.Modeling.Loralib;

namespace DistTune.Goldens.Layers;

/// <summary>A layer of loralib in a report of many: state, forward and backward in training, merged in evaluation, unmerged again.</summary>
internal sealed class LoralibLayerGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        foreach (var path in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            var root = JsonCase.Root(path);
            if (!JsonCase.HasAll(root, "layers", "tolerance") || root.GetProperty("layers").ValueKind != JsonValueKind.Object)
            {
                continue;
            }

            foreach (var layer in root.GetProperty("layers").EnumerateObject())
            {
                yield return new GoldenCase(path, layer.Name, [path, TensorsOf(path, layer.Name)]);
            }
        }
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(golden.Path);
        var layer = root.GetProperty("layers").GetProperty(golden.Part);
        if (layer.GetProperty("works").GetBoolean())
        {
            Compare(golden, layer, JsonCase.Number(root, "tolerance", "abs"), meter);
        }
        else
        {
            meter.Equal("an error that says why", Refusal(layer), true);
        }

        return Task.CompletedTask;
    }

    private static string TensorsOf(string json, string layer) => Path.Combine(Path.GetDirectoryName(json)!, $"{layer}.safetensors");

    private static void Compare(GoldenCase golden, JsonElement entry, double tolerance, ErrorMeter meter)
    {
        using var scope = torch.NewDisposeScope();
        using var file = LayerFile.Open(TensorsOf(golden.Path, golden.Part));
        using var layer = LoralibLayers.Make(entry, file);
        LoralibLayers.CompareParameters(entry, layer, meter);
        CompareTraining(layer, file, tolerance, meter);
        layer.Eval();
        file.Compare(meter, "merged_weight", layer.Weight, tolerance);
        file.Compare(meter, "y_eval_merged", layer.Forward(Input(file)), tolerance);
        layer.Train();
        file.Compare(meter, "unmerged_again_weight", layer.Weight, tolerance);
        file.Compare(meter, LoralibLayers.WeightName(entry), layer.Weight, tolerance);
        if (layer is Linear && layer.Scaling is { } scale && !entry.GetProperty("fan_in_fan_out").GetBoolean())
        {
            LoraProjection.Compare(file, scale, tolerance, meter);
        }
    }

    private static void CompareTraining(LoraLayer layer, LayerFile file, double tolerance, ErrorMeter meter)
    {
        var x = Input(file);
        var differentiable = x.is_floating_point();
        if (differentiable)
        {
            x.requires_grad = true;
        }

        var y = layer.Forward(x);
        file.Compare(meter, "y_train", y.detach(), tolerance);
        y.backward([file.Exact("grad_y")]);
        if (differentiable && file.File.Has("grad_x"))
        {
            file.Compare(meter, "grad_x", x.grad!, tolerance);
        }

        foreach (var (name, value) in layer.NamedParameters().Where(pair => file.File.Has($"grad.{pair.Key}")))
        {
            file.Compare(meter, $"grad.{name}", value.grad!, tolerance);
        }
    }

    private static Tensor Input(LayerFile file) => LoralibLayers.IsIndex(file)
        ? HostMemory.Upload<long>(file.File.Integers("x"), [.. file.File.Shape("x")], ScalarType.Int64, torch.CPU)
        : file.Exact("x");

    // "shape '[6, 4, 3]' is invalid for input of size 216": the weight's shape says which layer it was.
    private static bool Refusal(JsonElement entry)
    {
        var message = entry.GetProperty("error").GetString()!;
        var (start, end) = (message.IndexOf('[', StringComparison.Ordinal), message.IndexOf(']', StringComparison.Ordinal));
        if (start < 0 || end < start || JsonSerializer.Deserialize<long[]>(message[start..(end + 1)]) is not { Length: >= 3 and <= 5 } shape)
        {
            throw new GoldenUnsupportedException($"the refusal '{message}'");
        }

        try
        {
            LoralibLayers.Convolution(shape.Length - 2, shape[1], shape[0], shape[2], new LoraOptions(1), new ConvOptions(), bias: true).Dispose();
            return false;
        }
        catch (DistTuneException fault)
        {
            return fault.Message.Contains("kernel size", StringComparison.Ordinal);
        }
    }
}
