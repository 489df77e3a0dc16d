using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Memory;
using DistTune.Core.Numerics;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>The files of a run, the same whether it ran in one process or on a cluster.</summary>
public sealed class RunFolder
{
    /// <summary>Name of the summary.</summary>
    public const string SummaryName = "summary.json";

    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private RunFolder(string path) => FullPath = path;

    /// <summary>The folder.</summary>
    public string FullPath { get; }

    /// <summary>The PEFT folder within.</summary>
    public string AdapterFolder => Path.Combine(FullPath, "adapter");

    /// <summary>The model folder within, of a run that trains every weight.</summary>
    public string ModelFolder => Path.Combine(FullPath, "model");

    /// <summary>What a run leaves: its PEFT folder, or its model folder.</summary>
    public string ResultFolder(RunPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return plan.Adapter.Kind == AdapterKind.Full ? ModelFolder : AdapterFolder;
    }

    /// <summary>Loss, rate, tokens and times of every step.</summary>
    public string MetricsFile => Path.Combine(FullPath, "metrics.jsonl");

    /// <summary>Answers at every measurement.</summary>
    public string SamplesFile => Path.Combine(FullPath, "samples.jsonl");

    /// <summary>What the run came to.</summary>
    public string SummaryFile => Path.Combine(FullPath, SummaryName);

    /// <summary>Makes the folder and writes <c>config.yaml</c> and <c>plan.json</c>. Files of an earlier run in it are replaced as new ones are written.</summary>
    /// <param name="run">The run.</param>
    /// <param name="goesOn">Whether the run had begun before, so that its metrics stay.</param>
    /// <exception cref="DistTuneException">The folder cannot be written.</exception>
    public static RunFolder Create(PreparedRun run, bool goesOn = false)
    {
        ArgumentNullException.ThrowIfNull(run);
        var folder = new RunFolder(run.Config.OutputFolder);
        try
        {
            Directory.CreateDirectory(folder.FullPath);
            if (!goesOn)
            {
                File.Delete(folder.MetricsFile);
            }

            File.Delete(folder.SamplesFile);
            File.Delete(folder.SummaryFile);
            AtomicFile.WriteText(Path.Combine(folder.FullPath, "config.yaml"), ConfigYaml.Write(run.Config.Values));
            AtomicFile.WriteText(Path.Combine(folder.FullPath, "plan.json"), PlanJson.Write(run));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"output_dir {folder.FullPath} cannot be written: {error.Message}. Name a folder that can.", error);
        }

        return folder;
    }

    /// <summary>Writes the PEFT folder with its model card, or the model folder, and returns the SHA-256 of its weights' file.</summary>
    public string WriteAdapter(PreparedRun run, AdapterVersion adapter, double? lossBefore, double? lossAfter)
    {
        ArgumentNullException.ThrowIfNull(run);
        ArgumentNullException.ThrowIfNull(adapter);
        if (run.Plan.Adapter.Kind == AdapterKind.Full)
        {
            Formats.ModelFolder.Save(ModelFolder, run.Plan.Layout, adapter.Values, run.Plan.BaseModel, WeightType.Float32);
            return Sha256(Path.Combine(ModelFolder, WeightSources.SingleFileName));
        }

        var facts = ImmutableArray.CreateBuilder<KeyValuePair<string, string>>();
        facts.Add(new("Optimizer steps", run.Plan.Steps.ToString(CultureInfo.InvariantCulture)));
        facts.Add(new("Sequence length", run.Config.SequenceLength.ToString(CultureInfo.InvariantCulture)));
        if (lossBefore is { } before && lossAfter is { } after)
        {
            facts.Add(new("Held-out loss", FormattableString.Invariant($"{before:0.0000} before, {after:0.0000} after")));
        }

        if (run.Plan.Adapter.Start == LoraStart.Loftq)
        {
            facts.Add(new("Belongs on", "the base in full precision, which LoftQ's share was taken out for: over four bits it would be missing"));
        }

        facts.Add(new("SHA-256 of the values", adapter.Sha256));
        var names = run.Config.Datasets.Select(dataset => Path.GetFileName(dataset.Path));
        var card = new AdapterCard(FormattableString.Invariant($"{string.Join(", ", names)} ({run.Data.TrainingRows} rows)"), facts.ToImmutable());
        using var weights = WeightSources.Open(run.Plan.BaseModel);
        if (StartDifference.Applies(run.Plan.Adapter))
        {
            // The base that these factors belong to is on no disk: what training added to the original one is saved.
            var difference = StartDifference.Of(run.Plan.Layout, run.Plan.Adapter);
            var values = difference.Values(run.Plan.Layout, adapter.Values.Span, run.InitialAdapter.Values.Span);
            PeftAdapter.Save(AdapterFolder, difference.Layout, values, difference.Settings, run.Plan.BaseModel, card, weights);
        }
        else
        {
            PeftAdapter.Save(AdapterFolder, run.Plan.Layout, adapter.Values, run.Plan.Adapter, run.Plan.BaseModel, card, weights);
        }

        return Sha256(Path.Combine(AdapterFolder, PeftAdapter.WeightsName));
    }

    /// <summary>Appends the answers of a measurement to <c>samples.jsonl</c>.</summary>
    public void AppendSamples(int step, ImmutableArray<PromptAnswer> answers)
    {
        var lines = new StringBuilder();
        foreach (var answer in answers)
        {
            lines.Append(JsonSerializer.Serialize(new { step, prompt = answer.Prompt, answer = answer.Answer, reference = answer.Reference }, Readable)).Append('\n');
        }

        File.AppendAllText(SamplesFile, lines.ToString());
    }

    /// <summary>Draws <c>loss.svg</c>.</summary>
    public void WriteLossPlot(IReadOnlyList<LossPoint> training, IReadOnlyList<LossPoint> heldOut) =>
        AtomicFile.WriteText(Path.Combine(FullPath, "loss.svg"), LossPlot.Render(training, heldOut));

    /// <summary>Writes the adapter and, last of all, <c>summary.json</c>: where it is, the run is complete.</summary>
    /// <param name="run">The run.</param>
    /// <param name="adapter">The trained adapter.</param>
    /// <param name="before">The measurement before the first step.</param>
    /// <param name="after">The measurement after the last.</param>
    /// <param name="figures">What it took.</param>
    public RunSummary Complete(PreparedRun run, AdapterVersion adapter, RunMeasurement before, RunMeasurement after, RunFigures figures)
    {
        ArgumentNullException.ThrowIfNull(run);
        ArgumentNullException.ThrowIfNull(figures);
        // The version before the last: what is written is read back.
        VectorGarbage.Collect(run.Plan.Layout.Length);
        var (answersBefore, answersAfter) = (run.Answers(before.Continuations), run.Answers(after.Continuations));
        var summary = new RunSummary
        {
            RunId = run.Plan.RunId,
            Workers = figures.Workers,
            Steps = run.Plan.Steps,
            AdapterPath = ResultFolder(run.Plan),
            AdapterSha256 = WriteAdapter(run, adapter, before.Loss, after.Loss),
            LossBefore = before.Loss,
            LossAfter = after.Loss,
            F1Before = PreparedRun.F1(answersBefore),
            F1After = PreparedRun.F1(answersAfter),
            TokensPerSecond = figures.TokensPerSecond,
            PeakMemoryBytes = figures.PeakMemoryBytes,
            Seconds = figures.Seconds,
            Samples = [.. answersBefore.Zip(answersAfter, (first, last) => new SamplePair(first.Prompt, first.Answer, last.Answer, first.Reference))],
        };
        AtomicFile.WriteText(SummaryFile, summary.ToJson() + "\n");
        return summary;
    }

    private static string Sha256(string path)
    {
        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }
}
