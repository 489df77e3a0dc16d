using System.Text.Json;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>A linear layer with LoRA in a report of many adapted layers; those of other kinds are unsupported.</summary>
internal sealed class LoraLinearGolden : IGoldenKind
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
        var tolerance = JsonCase.Number(root, "tolerance", "abs");
        CheckSupported(layer);
        using var scope = torch.NewDisposeScope();
        using var file = LayerFile.Open(TensorsOf(golden.Path, golden.Part));
        var projection = Adapt(file, (float)layer.GetProperty("scaling").GetDouble());
        var kernels = new TorchKernels();
        var gradients = new GradientTable();
        var x = file.Rows("x");
        var (y, reduced) = kernels.Linear(x, projection, residual: null);
        file.Compare(meter, "y_train", y, tolerance);
        file.Compare(meter, "y_eval_merged", y, tolerance);
        file.Compare(meter, "grad_x", kernels.LinearBackward(file.Rows("grad_y"), projection, x, reduced, inputGradient: true, gradients)!, tolerance);
        file.Compare(meter, "grad.lora_A", gradients[0], tolerance);
        file.Compare(meter, "grad.lora_B", gradients[1], tolerance);
        if (file.File.Has("grad.bias"))
        {
            file.Compare(meter, "grad.bias", gradients[2], tolerance);
        }

        return Task.CompletedTask;
    }

    private static string TensorsOf(string json, string layer) => Path.Combine(Path.GetDirectoryName(json)!, $"{layer}.safetensors");

    private static void CheckSupported(JsonElement layer)
    {
        if (!layer.GetProperty("works").GetBoolean())
        {
            throw new GoldenUnsupportedException("a layer that the reference could not compute either");
        }

        var names = layer.GetProperty("parameters");
        if (layer.GetProperty("fan_in_fan_out").ValueKind == JsonValueKind.True
            || layer.GetProperty("enable_lora").ValueKind == JsonValueKind.Array
            || layer.GetProperty("scaling").ValueKind != JsonValueKind.Number
            || !JsonCase.HasAll(names, "weight", "lora_A", "lora_B")
            || IsEmbedding(names))
        {
            throw new GoldenUnsupportedException("LoRA on anything but a plain linear layer");
        }
    }

    // A linear's A reads what its weight reads; an embedding's A has a column for each of its weight's rows.
    private static bool IsEmbedding(JsonElement parameters) =>
        parameters.GetProperty("lora_A").GetProperty("shape")[1].GetInt64() != parameters.GetProperty("weight").GetProperty("shape")[1].GetInt64();

    private static Projection Adapt(LayerFile file, float scale)
    {
        var (weight, a, b) = (file.Exact("init.weight"), file.Exact("init.lora_A"), file.Exact("init.lora_B"));
        var bias = file.Optional("init.bias");
        return new Projection(new DenseMatrix(weight), bias, [])
        {
            Lora = new LoraFactors(a, [new LoraPart(0, 1, 0, a.shape[0], 0, b.shape[0], b)], scale),
            TrainedBias = bias is null ? [] : [new TrainedRows(2, 0, b.shape[0])],
        };
    }
}
