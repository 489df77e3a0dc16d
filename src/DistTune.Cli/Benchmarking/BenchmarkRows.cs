using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Data;
using DistTune.Core.Planning;
using DistTune.Core.Training;

namespace DistTune.Cli.Benchmarking;

/// <summary>The rows that are measured: noise of one length where every token is trained, or rows of a file.</summary>
internal static class BenchmarkRows
{
    private const int Ignored = -100;

    /// <summary>Rows of one length; every token is trained.</summary>
    public static ImmutableArray<PlannedSample> Synthetic(int count, int length, int vocabulary) =>
    [
        .. Enumerable.Range(0, count).Select(row => new PlannedSample(
            [.. Enumerable.Range(0, length).Select(position => (int)(CounterRandom.Hash(0, (ulong)row, (ulong)position) % (ulong)vocabulary))],
            [new LabelSpan(0, length)])),
    ];

    /// <summary>Rows of a JSON Lines file with <c>input_ids</c> and <c>labels</c> (-100 is not trained).</summary>
    /// <exception cref="DistTuneException">A row has another layout, or a token is beyond the vocabulary.</exception>
    public static ImmutableArray<PlannedSample> Read(string path, int vocabulary) => [.. JsonLines.Read(path).Select(row => Read(row, vocabulary))];

    private static PlannedSample Read(JsonLine row, int vocabulary)
    {
        var (ids, labels) = (Numbers(row, "input_ids"), Numbers(row, "labels"));
        if (ids.Length == 0 || ids.Length != labels.Length || ids.Any(id => id < 0 || id >= vocabulary))
        {
            throw new DistTuneException(FaultKind.InvalidFile, FormattableString.Invariant($"{row.Place}: input_ids and labels must be equally long, not empty, and within the vocabulary of {vocabulary}."));
        }

        var spans = ImmutableArray.CreateBuilder<LabelSpan>();
        for (var start = 0; start < labels.Length; start++)
        {
            if (labels[start] == Ignored)
            {
                continue;
            }

            var end = start;
            while (end < labels.Length && labels[end] != Ignored)
            {
                end++;
            }

            spans.Add(new LabelSpan(start, end));
            start = end;
        }

        return new PlannedSample([.. ids], spans.ToImmutable());
    }

    private static int[] Numbers(JsonLine row, string name) =>
        row.Value.ValueKind == JsonValueKind.Object && row.Value.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array
            ? [.. list.EnumerateArray().Select(item => item.TryGetInt32(out var number) ? number : Ignored)]
            : throw new DistTuneException(FaultKind.InvalidFile, $"{row.Place}: there is no list '{name}'.");
}
