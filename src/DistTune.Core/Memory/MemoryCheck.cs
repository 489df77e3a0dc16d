using System.Collections.Immutable;
using System.Globalization;
using DistTune.Core.Quantization;

namespace DistTune.Core.Memory;

/// <summary>Compares what a run will take with what is free, and knows which settings would make it fit.</summary>
public static class MemoryCheck
{
    private const double Mebibyte = 1 << 20;
    private const double Gibibyte = 1 << 30;

    /// <summary>Refuses a run that cannot fit.</summary>
    /// <param name="question">The run and the process.</param>
    /// <param name="free">What is free; null, where the system does not say, refuses nothing.</param>
    /// <param name="override">How to start it all the same.</param>
    /// <exception cref="DistTuneException">The prediction is more than what is free.</exception>
    public static void Require(MemoryQuestion question, long? free, string @override)
    {
        var predicted = MemoryPredictor.Predict(question);
        if (free is not { } bytes || predicted.Bytes <= bytes)
        {
            return;
        }

        var cures = Cures(question, bytes);
        var cure = cures.IsEmpty
            ? "None of the usual settings would make it fit; use a smaller base or a machine with more memory"
            : $"It would fit with {string.Join(", or with ", cures)}";
        var largest = predicted.Parts.OrderByDescending(part => part.Bytes).Take(2).Select(part => $"{part.Name} {Text(part.Bytes)}");
        throw new DistTuneException(
            FaultKind.Configuration,
            $"The run is predicted to take {Text(predicted.Bytes)} of memory ({string.Join(", ", largest)}, …); {Text(bytes)} are free. {cure}. {@override} starts it all the same.");
    }

    /// <summary>Settings with which the run would fit, the least intrusive first; each by itself, and the last all together if nothing less does.</summary>
    public static ImmutableArray<string> Cures(MemoryQuestion question, long free)
    {
        ArgumentNullException.ThrowIfNull(question);
        var alone = Changes(question).Where(change => Fits(change.Question, free)).Select(change => change.Setting).ToImmutableArray();
        if (!alone.IsEmpty)
        {
            return alone;
        }

        var together = question;
        var settings = new List<string>();
        foreach (var name in (string[])["gradient_checkpointing", "distributed", "micro_batch_size", "adapter", "sequence_len"])
        {
            if (Changes(together).LastOrDefault(change => change.Setting.StartsWith(name, StringComparison.Ordinal)) is not { Question: not null } change)
            {
                continue;
            }

            together = change.Question;
            settings.Add(change.Setting);
            if (Fits(together, free))
            {
                return [string.Join(" and ", settings)];
            }
        }

        return [];
    }

    /// <summary>Bytes as people read them.</summary>
    public static string Text(long bytes) => bytes >= Gibibyte
        ? (bytes / Gibibyte).ToString("0.00 GiB", CultureInfo.InvariantCulture)
        : (bytes / Mebibyte).ToString("0 MiB", CultureInfo.InvariantCulture);

    private static bool Fits(MemoryQuestion question, long free) => MemoryPredictor.Predict(question).Bytes <= free;

    private static IEnumerable<(string Setting, MemoryQuestion Question)> Changes(MemoryQuestion question)
    {
        if (!question.GradientCheckpointing)
        {
            yield return ("gradient_checkpointing: true", question with { GradientCheckpointing = true });
        }

        if (question.Lanes > 1)
        {
            yield return ("distributed: {threads_per_worker: 1}", question with { Lanes = 1 });
        }

        var batch = question.Batch;
        for (var rows = (batch.Tokens + batch.LongestRow - 1) / batch.LongestRow / 2; rows >= 1; rows /= 2)
        {
            yield return (
                string.Create(CultureInfo.InvariantCulture, $"micro_batch_size: {rows}"),
                question with { Batch = batch.WithRows(rows), Evaluation = question.Evaluation?.WithRows(rows) });
        }

        if (question is { TrainsAllWeights: false, Quantization: null })
        {
            yield return ("adapter: qlora", question with { Quantization = new FourBitSettings() });
        }

        for (var length = batch.LongestRow / 2; length >= 128; length /= 2)
        {
            yield return (
                string.Create(CultureInfo.InvariantCulture, $"sequence_len: {length}"),
                question with { Batch = batch.WithLength(length), Evaluation = question.Evaluation?.WithLength(length) });
        }
    }
}
