using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Models;
using DistTune.Goldens.Models;
using DistTune.Modeling;

namespace DistTune.Goldens.Merging;

/// <summary>The trained adapter of a training case, merged into its base on disk in several shards: logits of the model that comes out.</summary>
internal sealed class MergeGolden : IGoldenKind
{
    private const string ProbeName = "merged_logits.safetensors";
    private const string CaseName = "case.json";

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        var probe = Path.Combine(folder, ProbeName);
        var complete = File.Exists(probe) && Directory.Exists(AdapterOf(folder)) && JsonCase.HasAll(JsonCase.Root(Path.Combine(folder, CaseName)), "model", "tolerance");
        return complete && TensorFile.NamesIn(probe).IsSupersetOf(["logits", "logits_merged", "input_ids"]) ? [GoldenCase.OfFolder(folder, "merge")] : [];
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(Path.Combine(golden.Path, CaseName));
        var modelFolder = GoldenModels.Find(golden.Path, root.GetProperty("model").GetString()!);
        _ = GoldenModels.Describe(modelFolder);
        var output = Directory.CreateTempSubdirectory("disttune-merge-");
        try
        {
            var merged = Path.Combine(output.FullName, "merged");
            ModelMerge.Write(modelFolder, AdapterFolder.Load(AdapterOf(golden.Path)), merged, new MergeOptions { MaxShardBytes = 100_000, Type = TypeOf(root) }, verify: null, cancellationToken);
            CompareLogits(merged, Path.Combine(golden.Path, ProbeName), JsonCase.Number(root, "tolerance", "probe_logits_abs"), meter);
        }
        finally
        {
            output.Delete(recursive: true);
        }

        return Task.CompletedTask;
    }

    // A base that is stored narrower than the reference computed with it is merged as wide as that.
    private static WeightType? TypeOf(JsonElement root) =>
        root.TryGetProperty("base_dtype", out var type) && type.ValueEquals("float32") ? WeightType.Float32 : null;

    // A start that changed the base is merged as its difference from the original.
    private static string AdapterOf(string folder)
    {
        var converted = Path.Combine(folder, "adapter_converted");
        return Directory.Exists(converted) ? converted : Path.Combine(folder, "adapter_final");
    }

    private static void CompareLogits(string folder, string probePath, double tolerance, ErrorMeter meter)
    {
        using var probe = TensorFile.Open(probePath);
        using var weights = WeightSources.Open(folder);
        using var model = BaseModel.Load(weights, GoldenModels.Describe(folder), GoldenModels.PrecisionOf(weights));
        var batch = PaddedBatch.Read(probe);
        var logits = ForwardDetails.Compute(model, batch.Segments).Logits;
        var (adapted, merged) = (batch.Unpad(probe.Floats("logits")), batch.Unpad(probe.Floats("logits_merged")));
        meter.Absolute("logits of the merged model against base and adapter", logits, adapted, tolerance);
        // Where the reference's own merge changes its logits (factors on an embedding that is the head, too), it is not what we follow.
        if (adapted.Zip(merged, (one, other) => Math.Abs(one - other)).Max() <= tolerance)
        {
            meter.Absolute("logits of the merged model", logits, merged, tolerance);
        }
    }
}
