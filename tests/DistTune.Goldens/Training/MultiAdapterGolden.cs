using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Goldens.Models;
using DistTune.Modeling;
using DistTune.Modeling.Adapters;

namespace DistTune.Goldens.Training;

/// <summary>Several adapters over one base: each by itself, and all that were trained active at once.</summary>
internal sealed class MultiAdapterGolden : IGoldenKind
{
    private const string CaseName = "case.json";
    private const string LogitsName = "logits.safetensors";
    private const string Prefix = "logits.";

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        var path = Path.Combine(folder, CaseName);
        return File.Exists(path) && File.Exists(Path.Combine(folder, LogitsName)) && JsonCase.HasAll(JsonCase.Root(path), "kind", "adapters", "model")
            ? [GoldenCase.OfFolder(folder)]
            : [];
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(Path.Combine(golden.Path, CaseName));
        var tolerance = JsonCase.Number(root, "tolerance", "logits_abs");
        var modelFolder = GoldenModels.Find(golden.Path, root.GetProperty("model").GetString()!);
        var spec = GoldenModels.Describe(modelFolder);
        using var weights = WeightSources.Open(modelFolder);
        using var model = BaseModel.Load(weights, spec, GoldenModels.PrecisionOf(weights));
        using var expected = TensorFile.Open(Path.Combine(golden.Path, LogitsName));
        var batch = PaddedBatch.Read(expected);
        foreach (var name in expected.Names.Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            var adapters = Named(root, name[Prefix.Length..]).Select(adapter => Load(Path.Combine(golden.Path, adapter), spec)).ToArray();
            using var adapted = AdaptedModel.Create(model, adapters);
            var logits = ForwardDetails.Compute(model, adapted.Modules, batch.Segments).Logits;
            meter.Absolute(name, logits, batch.Unpad(expected.Floats(name)), tolerance);
        }

        return Task.CompletedTask;
    }

    private static IEnumerable<string> Named(JsonElement root, string name) => name switch
    {
        "base" => [],
        "all_active" => root.GetProperty("adapters").EnumerateObject().Select(adapter => adapter.Name),
        _ => [name],
    };

    private static LoadedAdapter Load(string folder, DecoderSpec spec)
    {
        var adapter = PeftAdapter.Load(folder);
        var layout = AdapterLayout.Create(spec, adapter.Settings);
        return new LoadedAdapter(layout, adapter.Settings, AdapterHash.Version(adapter.ToVector(layout)));
    }
}
