using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Goldens.Training;
using DistTune.Modeling;

namespace DistTune.Goldens.Formats;

/// <summary>
/// A JSON list of prompts with the last position's logits, computed by transformers from the values that a GGUF file beside it holds,
/// without and with the PEFT adapter in a folder below. Each prompt is a case, and another one with the adapter.
/// </summary>
internal sealed class GgufLogitsGolden : IGoldenKind
{
    private const string WithAdapter = " with adapter";

    // The goldens' README: what llama.cpp and transformers differ by on files in single and in half precision.
    private static readonly (double Base, double WithAdapter) Single = (1.1e-5, 6e-6);
    private static readonly (double Base, double WithAdapter) Half = (8e-3, 6e-3);

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        foreach (var list in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            var root = JsonCase.Root(list);
            if (root.ValueKind != JsonValueKind.Array || !root.EnumerateArray().All(row => JsonCase.HasAll(row, "base", "ids", "hf")))
            {
                continue;
            }

            for (var index = 0; index < root.GetArrayLength(); index++)
            {
                var part = index.ToString(CultureInfo.InvariantCulture);
                yield return new GoldenCase(list, part, [list]);
                if (JsonCase.HasAll(root[index], "hf_adapter"))
                {
                    yield return new GoldenCase(list, part + WithAdapter, [list]);
                }
            }
        }
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var adapted = golden.Part.EndsWith(WithAdapter, StringComparison.Ordinal);
        var index = adapted ? golden.Part[..^WithAdapter.Length] : golden.Part;
        var row = JsonCase.Root(golden.Path)[int.Parse(index, CultureInfo.InvariantCulture)];
        var folder = Path.GetDirectoryName(golden.Path)!;
        var file = Path.Combine(folder, row.GetProperty("base").GetString()!);
        using var weights = WeightSources.Open(file);
        using var model = BaseModel.Load(weights, ModelFamilies.Describe(file));
        ImmutableArray<int> ids = [.. row.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
        ImmutableArray<Segment> segments = [new Segment(ids, [], 0)];
        var logits = adapted ? AdaptedLogits(model, folder, segments) : ForwardDetails.Compute(model, segments).Logits;
        var expected = row.GetProperty(adapted ? "hf_adapter" : "hf").EnumerateArray().Select(value => value.GetSingle()).ToArray();
        var tolerance = weights.Weights.All(weight => weight.Type == WeightType.Float32) ? Single : Half;
        meter.Absolute(
            $"last logits on {Path.GetFileName(file)}",
            logits.AsSpan((ids.Length - 1) * model.Spec.VocabularySize),
            expected,
            adapted ? tolerance.WithAdapter : tolerance.Base);
        return Task.CompletedTask;
    }

    private static float[] AdaptedLogits(BaseModel model, string folder, ImmutableArray<Segment> segments)
    {
        var place = Directory.EnumerateDirectories(folder)
            .Order(StringComparer.Ordinal)
            .FirstOrDefault(below => File.Exists(Path.Combine(below, PeftAdapter.ConfigName)))
            ?? throw new GoldenUnsupportedException("there is no PEFT adapter beside it, and adapters in GGUF files are not read");
        var adapter = PeftAdapter.Load(place);
        var layout = AdapterLayout.Create(model.Spec, adapter.Settings);
        return AdaptedForward.Logits(model, layout, adapter.Settings, AdapterHash.Version(adapter.ToVector(layout)), segments);
    }
}
