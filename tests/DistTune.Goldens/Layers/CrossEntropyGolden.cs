using System.Text.Json;
using DistTune.Modeling;
using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>Cross-entropy of rows of logits for several reductions and label smoothings, forward and backward.</summary>
internal sealed class CrossEntropyGolden : IGoldenKind
{
    private const long Ignored = -100;

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        Directory.EnumerateFiles(folder, "*.json")
            .Order(StringComparer.Ordinal)
            .Where(path => IsCase(path) && TensorFile.NamesIn(TensorsOf(path)).IsSupersetOf(["logits", "labels"]))
            .Select(path => GoldenCase.OfFile(TensorsOf(path), path));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(golden.Files[1]);
        var tolerance = JsonCase.Number(root, "tolerance", "abs");
        using var file = LayerFile.Open(golden.Path);
        foreach (var row in root.GetProperty("rows").EnumerateArray())
        {
            using var scope = torch.NewDisposeScope();
            Compare(file, row, tolerance, meter);
        }

        return Task.CompletedTask;
    }

    private static bool IsCase(string path) =>
        JsonCase.Root(path) is var root
        && JsonCase.HasAll(root, "rows", "tolerance")
        && File.Exists(TensorsOf(path))
        && root.GetProperty("rows").EnumerateArray().All(row => JsonCase.HasAll(row, "key", "reduction", "label_smoothing"));

    private static string TensorsOf(string json) => Path.ChangeExtension(json, ".safetensors");

    private static void Compare(LayerFile file, JsonElement row, double tolerance, ErrorMeter meter)
    {
        var key = row.GetProperty("key").GetString()!;
        var labels = file.File.Integers("labels");
        var kept = Enumerable.Range(0, labels.Length).Where(index => labels[index] != Ignored).Select(index => (long)index).ToArray();
        var rows = HostMemory.Upload<long>(kept, [kept.Length], ScalarType.Int64, torch.CPU);
        var targets = HostMemory.Upload<long>([.. kept.Select(index => labels[index])], [kept.Length], ScalarType.Int64, torch.CPU);
        var all = file.Exact("logits");
        var logits = all.index_select(0, rows);
        var losses = new TorchKernels().CrossEntropy(logits, targets, row.GetProperty("label_smoothing").GetDouble(), gradient: true);

        var reduction = row.GetProperty("reduction").GetString();
        var share = reduction == "mean" ? 1.0 / kept.Length : 1.0;
        var gradient = torch.zeros(all.shape);
        gradient.index_copy_(0, rows, logits.mul_(share));
        file.Compare(meter, $"grad.{key}", gradient, tolerance);
        var each = HostMemory.Doubles(losses);
        if (reduction == "none")
        {
            var spread = new float[labels.Length];
            for (var index = 0; index < kept.Length; index++)
            {
                spread[kept[index]] = (float)each[index];
            }

            meter.Absolute($"loss.{key}", spread, file.File.Floats($"loss.{key}"), tolerance);
        }
        else
        {
            meter.Absolute($"loss.{key}", each.Sum() * share, file.File.Floats($"loss.{key}")[0], tolerance);
        }
    }
}
