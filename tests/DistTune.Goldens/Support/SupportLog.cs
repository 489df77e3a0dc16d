using DistTune.Core.Planning;

namespace DistTune.Goldens.Support;

/// <summary>How a feature was shown to work.</summary>
public enum Evidence
{
    /// <summary>Its numbers equal the reference's.</summary>
    Reference,

    /// <summary>A coordinator with two workers makes the same file as with one.</summary>
    Workers,
}

/// <summary>One thing that a test showed, or tried to.</summary>
/// <param name="Feature">What it is about.</param>
/// <param name="Evidence">How it was shown.</param>
/// <param name="Case">The case or test.</param>
/// <param name="Passed">Whether it held.</param>
public sealed record SupportEntry(SupportedFeature Feature, Evidence Evidence, string Case, bool Passed);

/// <summary>
/// What tests showed, kept in the file that the environment variable <c>DISTTUNE_SUPPORT_LOG</c> names: the README's support table is
/// made of it. Without the variable nothing is kept.
/// </summary>
public static class SupportLog
{
    /// <summary>Name of the environment variable.</summary>
    public const string Variable = "DISTTUNE_SUPPORT_LOG";

    private static readonly Lock Gate = new();

    /// <summary>Keeps what a golden case showed.</summary>
    /// <param name="golden">The case.</param>
    /// <param name="outcome">How it ended.</param>
    public static void Add(GoldenCase golden, GoldenOutcome outcome)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(outcome);
        foreach (var feature in CaseFeatures.Of(golden.Path, golden.Part))
        {
            Add(new SupportEntry(feature, Evidence.Reference, outcome.Case, outcome.Outcome == GoldenVerdict.Passed));
        }
    }

    /// <summary>Keeps that training over a model or as a case says came out the same, or not, with one worker and with two.</summary>
    /// <param name="path">The model's or the case's folder.</param>
    /// <param name="test">The test.</param>
    /// <param name="passed">Whether it did.</param>
    public static void AddWorkers(string path, string test, bool passed)
    {
        foreach (var feature in CaseFeatures.Of(path))
        {
            Add(new SupportEntry(feature, Evidence.Workers, test, passed));
        }
    }

    /// <summary>Keeps that a run's result was the same, or not, with one worker and with two.</summary>
    /// <param name="run">The run.</param>
    /// <param name="folder">The PEFT folder that came out, or the model's for full fine-tuning.</param>
    /// <param name="test">The test.</param>
    /// <param name="passed">Whether it was.</param>
    public static void AddWorkersRun(PreparedRun run, string folder, string test, bool passed)
    {
        foreach (var feature in RunFeatures.Of(run, folder))
        {
            Add(new SupportEntry(feature, Evidence.Workers, test, passed));
        }
    }

    /// <summary>Keeps that adapters which were active together answered the same, or not, trained by one worker and by two.</summary>
    public static void AddWorkersTogether(string test, bool passed) =>
        Add(new SupportEntry(new SupportedFeature(SupportedFeature.Adapters, CaseFeatures.SeveralAdapters), Evidence.Workers, test, passed));

    /// <summary>Keeps what a test showed.</summary>
    public static void Add(SupportEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        if (Environment.GetEnvironmentVariable(Variable) is not { Length: > 0 } path)
        {
            return;
        }

        lock (Gate)
        {
            File.AppendAllText(path, $"{string.Join('\t', entry.Feature.Area, entry.Feature.Name, entry.Evidence, entry.Case, entry.Passed ? "passed" : "failed")}\n");
        }
    }

    /// <summary>Reads a log.</summary>
    /// <exception cref="InvalidDataException">A line is not an entry.</exception>
    public static IReadOnlyList<SupportEntry> Read(string path) => [.. File.ReadLines(path).Select(Parse)];

    private static SupportEntry Parse(string line) => line.Split('\t') switch
    {
        [var area, var name, var evidence, var test, var verdict] when Enum.TryParse<Evidence>(evidence, out var kind) =>
            new(new SupportedFeature(area, name), kind, test, verdict == "passed"),
        _ => throw new InvalidDataException($"'{line}' is no entry of a support log: expected area, feature, evidence, case and verdict, separated by tabs."),
    };
}
