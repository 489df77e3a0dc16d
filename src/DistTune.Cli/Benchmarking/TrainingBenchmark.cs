using DistTune.Cli.Running;
using DistTune.Core.Models;
using DistTune.Core.Planning;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Modeling;

namespace DistTune.Cli.Benchmarking;

/// <summary>What was measured of us.</summary>
/// <param name="TokensPerSecond">All tokens of the steps that count over their time.</param>
/// <param name="TrainedTokensPerSecond">Those that carry loss.</param>
/// <param name="BestTokensPerSecond">Of the best step.</param>
internal sealed record TrainingSpeed(double TokensPerSecond, double TrainedTokensPerSecond, double BestTokensPerSecond);

/// <summary>Trains for some steps through the same engine as any run and measures the speed.</summary>
internal static class TrainingBenchmark
{
    private const int WarmUpSteps = 2;
    private const double LearningRate = 2e-4;
    private const double Alpha = 16;

    /// <summary>Runs the steps.</summary>
    public static async Task<TrainingSpeed> RunAsync(DecoderSpec spec, BenchmarkOptions options, CancellationToken cancellationToken)
    {
        BaseModel model;
        using (var weights = new RandomWeights(spec))
        {
            model = BaseModel.Load(weights, spec);
        }

        var plan = Plan(spec, options);
        await using var computers = LocalComputers.Share(model, plan, new Cores(1, options.Threads));
        var initial = AdapterHash.Version(AdapterInitialization.Create(plan.Layout, plan.Adapter, plan.Seed));
        var watch = new Watch();
        await InProcessTraining.RunAsync(plan, initial, computers.Computers, watch, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        return watch.Result;
    }

    private static RunPlan Plan(DecoderSpec spec, BenchmarkOptions options)
    {
        var steps = options.Steps + WarmUpSteps;
        var rows = options.Rows is { } path
            ? BenchmarkRows.Read(path, spec.VocabularySize)
            : BenchmarkRows.Synthetic(options.Batch * steps, options.Sequence, spec.VocabularySize);
        // A group for every thread; the batch is the same whatever the threads.
        var groups = Math.Min(options.Threads, options.Batch);
        var stepPlan = StepPlan.Create(rows.Length, (options.Batch + groups - 1) / groups, groups, 1, steps, 0, shuffle: false);
        var adapter = new AdapterSettings(AdapterKind.Lora, options.Rank, Alpha, [AdapterLayout.AllLinear]);
        return new RunPlan
        {
            RunId = "bench",
            Hashes = new RunHashes("", "", "", "", ""),
            BaseModel = "",
            VocabularySize = spec.VocabularySize,
            BaseInBFloat16 = false,
            GradientCheckpointing = options.Checkpointing,
            Seed = 0,
            Adapter = adapter,
            Layout = AdapterLayout.Create(spec, adapter),
            Optimizer = new OptimizerSettings(),
            Schedule = new ScheduleSettings(ScheduleKind.Constant, LearningRate, 0, steps),
            MaxGradientNorm = 1,
            Steps = steps,
            StepsPerEpoch = stepPlan.StepsPerEpoch,
            Groups = new PlannedGroups("bench", stepPlan, rows, [], [], new GenerationSettings(1, [])),
        };
    }

    private sealed class Watch : IRunObserver
    {
        private readonly List<StepFinished> _steps = [];

        public TrainingSpeed Result
        {
            get
            {
                var counted = _steps.Skip(WarmUpSteps).ToArray();
                var seconds = counted.Sum(step => step.StepSeconds);
                return new TrainingSpeed(
                    counted.Sum(step => step.Record.TotalTokens) / seconds,
                    counted.Sum(step => step.Record.TrainedTokens) / seconds,
                    counted.Max(step => step.Record.TotalTokens / step.StepSeconds));
            }
        }

        public void Observe(RunEvent runEvent)
        {
            if (runEvent is StepFinished step)
            {
                _steps.Add(step);
            }
        }
    }
}
