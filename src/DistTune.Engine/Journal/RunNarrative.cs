using System.Globalization;
using DistTune.Core.Training;

namespace DistTune.Engine.Journal;

/// <summary>A run's journal in plain words: what happened when.</summary>
public static class RunNarrative
{
    /// <summary>One line a record that tells something; results of groups are summed up with their step unless <paramref name="groups"/> is set.</summary>
    /// <param name="history">The journal.</param>
    /// <param name="groups">Whether every group's result gets a line of its own.</param>
    public static IEnumerable<string> Tell(RunHistory history, bool groups)
    {
        ArgumentNullException.ThrowIfNull(history);
        var run = TrainingRun.Empty;
        foreach (var entry in history.Entries)
        {
            var before = run;
            run = entry.Follow(run, JournalFile.Name);
            if ((groups || entry.Record is not (GroupDone { Skipped: false } or StageOpened)) && Describe(entry.Record, before) is { } text)
            {
                yield return string.Create(CultureInfo.InvariantCulture, $"{entry.Time.UtcDateTime:yyyy-MM-dd HH:mm:ss.fff}Z  term {entry.Term}  {text}");
            }
        }

        yield return Standing(run);
        foreach (var dispute in run.Undecided)
        {
            yield return $"The {dispute.Group} waits for a third worker to decide between {dispute.FirstWorker} and {dispute.SecondWorker}: start another worker. The other groups go on.";
        }

        if (history.Snapshots.Length > 0)
        {
            yield return $"Snapshots in the folder: after step {string.Join(", ", history.Snapshots)}.";
        }

        if (history.TornBytes > 0)
        {
            yield return string.Create(CultureInfo.InvariantCulture, $"The journal ends in {history.TornBytes} bytes of a record that was never finished; whoever goes on with the run cuts them off.");
        }
    }

    private static string? Describe(RunRecord record, TrainingRun before) => record switch
    {
        RunOpened opened => $"The run {opened.RunId} was opened; it starts from adapter {Short(opened.AdapterSha256)}.",
        TermBegun { Term: 1 } => "A coordinator began.",
        TermBegun term => Text($"A coordinator took the run over after step {before.Steps.Count}; it is term {term.Term} now{Unfinished(before)}."),
        CanarySet canary => $"Worker {canary.Worker} joined first ({canary.InstructionSet}, {canary.ComputeLibrary}); its canary is {Short(canary.Digest)}, and nobody joins who comes to another.",
        StageOpened { Kind: StageKind.Train } stage => Text($"Step {stage.Step} was opened with {stage.Groups.Length} groups."),
        StageOpened stage => Text($"A measurement after {stage.Step} steps was opened with {stage.Groups.Length} groups."),
        GroupDone { Skipped: true } done => $"The {done.Group} was left out of its step: its result is not finite wherever it is computed.",
        WorkerQuarantined quarantined => $"Worker {quarantined.Worker} was shut out: {quarantined.Reason}.",
        NonFiniteFound found => $"The {found.Group} was not finite on {found.Worker} ({found.What}); it was handed out again.",
        GroupDone done => Text($"The {done.Group} was computed by {done.Worker} (attempt {done.Attempt}, digest {Short(done.Digest)})."),
        GroupReopened reopened => $"The result of the {reopened.Group} was given up: {reopened.Reason}.",
        StepCommitted step => Text(
            $"Step {step.Step + 1} was taken: loss {step.Loss:0.0000}, norm {step.GradientNorm:0.000}, rate {step.LearningRate:0.###e0}, {step.TrainedTokens} trained tokens, adapter {Short(step.AdapterSha256)}, by {Workers(before)}."),
        MeasurementClosed { Loss: { } loss } measured => Text($"Measured after {measured.Step} steps: held-out loss {loss:0.0000} over {measured.TrainedTokens} tokens."),
        MeasurementClosed measured => Text($"Measured after {measured.Step} steps: {measured.Continuations.Length} answers."),
        DeterminismViolated violated => $"The {violated.Group} had two results: {Short(violated.FirstDigest)} from {violated.FirstWorker} and {Short(violated.SecondDigest)} from {violated.SecondWorker}.",
        SnapshotTaken snapshot => Text($"A snapshot was taken after step {snapshot.Step}."),
        RunRestored restored => Text($"The run was put back to the snapshot {restored.Source}, after step {restored.Steps.Length}."),
        RunFinished finished => $"The run finished with adapter {Short(finished.AdapterSha256)}.",
        RunFailed failed => $"The run failed: {failed.Reason}",
        _ => record.ToString(),
    };

    private static string Standing(TrainingRun run) => run.State switch
    {
        RunState.Finished => Text($"It is finished: {run.Steps.Count} steps, {run.TrainedTokens} trained tokens."),
        RunState.Failed => Text($"It has failed after {run.Steps.Count} steps; started again, it tries from there."),
        _ => Text($"It stands after step {run.Steps.Count}{Unfinished(run)}; started again, it goes on from there."),
    };

    private static string Unfinished(TrainingRun run) => run.Stage is { } stage
        ? Text($" with {stage.Done.Count} of {stage.Groups.Length} groups of the {(stage.Kind == StageKind.Train ? "next step" : "measurement")} done")
        : "";

    private static string Workers(TrainingRun before) => before.Stage is { } stage
        ? string.Join(", ", stage.Done.Values.CountBy(done => done.Worker).OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => Text($"{pair.Key} ({pair.Value})")))
        : "nobody";

    private static string Short(string hash) => hash.Length > 12 ? hash[..12] : hash;

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
