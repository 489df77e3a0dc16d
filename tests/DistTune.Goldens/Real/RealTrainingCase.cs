using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Training;
using DistTune.Goldens.Text;

namespace DistTune.Goldens.Real;

/// <summary>The files of a LoRA run on a real base: batches, steps, what came out, and the adapter that it started from.</summary>
internal sealed class RealTrainingCase
{
    private const int Ignored = -100;

    private RealTrainingCase(string adapter, JsonElement batches, JsonElement final, IReadOnlyList<JsonElement> steps)
    {
        Adapter = adapter;
        Batches = [.. batches.GetProperty("train").EnumerateArray().Select(Segments)];
        HeldOut = Segments(batches.GetProperty("eval"));
        Final = final;
        Steps = steps;
    }

    /// <summary>Folder of the adapter before the first step.</summary>
    public string Adapter { get; }

    /// <summary>The rows of each step.</summary>
    public ImmutableArray<ImmutableArray<Segment>> Batches { get; }

    /// <summary>The held-out rows.</summary>
    public ImmutableArray<Segment> HeldOut { get; }

    /// <summary>Loss, gradient norm and rate of each step.</summary>
    public IReadOnlyList<JsonElement> Steps { get; }

    /// <summary>Evaluations and final tensors.</summary>
    public JsonElement Final { get; }

    /// <summary>Reads the case in a folder; null if it holds none.</summary>
    public static RealTrainingCase? Find(string folder)
    {
        var roots = Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal).Select(JsonCase.Root).ToList();
        var batches = roots.Find(root => JsonCase.HasAll(root, "train", "eval") && JsonCase.HasAll(root.GetProperty("eval"), "input_ids", "labels"));
        var final = roots.Find(root => JsonCase.HasAll(root, "eval_before", "eval_after", "adapter"));
        var steps = TextCase.FilesWith(folder, "step", "loss", "valid_tokens", "grad_norm", "lr").FirstOrDefault();
        var adapter = Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal).FirstOrDefault(below => File.Exists(Path.Combine(below, PeftAdapter.ConfigName)));
        return batches.ValueKind == JsonValueKind.Object && final.ValueKind == JsonValueKind.Object && steps is not null && adapter is not null
            ? new RealTrainingCase(adapter, batches, final, JsonCase.Lines(steps))
            : null;
    }

    private static ImmutableArray<Segment> Segments(JsonElement batch)
    {
        var rows = batch.GetProperty("input_ids").EnumerateArray().Zip(batch.GetProperty("attention_mask").EnumerateArray(), batch.GetProperty("labels").EnumerateArray());
        return [.. rows.Select((row, index) => Segment(Ints(row.First), Ints(row.Second), Ints(row.Third), index))];
    }

    private static Segment Segment(int[] ids, int[] mask, int[] labels, int index)
    {
        var length = Array.LastIndexOf(mask, 1) + 1;
        var first = Array.FindIndex(labels, label => label != Ignored);
        var last = Array.FindLastIndex(labels, label => label != Ignored);
        if (first < 0 || last >= length || !labels.AsSpan(first, last + 1 - first).SequenceEqual(ids.AsSpan(first, last + 1 - first)))
        {
            throw new GoldenUnsupportedException("a row whose labels are not one run of its tokens");
        }

        return new Segment([.. ids.AsSpan(0, length)], [new LabelSpan(first, last + 1)], index);
    }

    private static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(item => item.GetInt32())];
}
