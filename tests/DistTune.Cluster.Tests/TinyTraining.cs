using System.Collections.Immutable;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Planning;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Modeling;
using DistTune.Worker;

namespace DistTune.Cluster.Tests;

/// <summary>A short training over a golden model: what it comes to in this process, and through a coordinator and workers.</summary>
internal sealed record TinyTraining(string ModelFolder, DecoderSpec Spec, RunPlan Plan, AdapterVersion Initial)
{
    private const int Rows = 12;
    private const ulong Seed = 7;

    /// <summary>Plans two epochs of rows of 6 to 40 tokens, held-out rows and a prompt among them.</summary>
    public static async Task<TinyTraining> CreateAsync(string model, AdapterSettings settings, bool gradientCheckpointing, CancellationToken cancellationToken)
    {
        var folder = Path.Combine(SmallRun.RepositoryRoot(), "tests", "golden", "models", model);
        var spec = ModelFamilies.Describe(folder);
        var layout = AdapterLayout.Create(spec, settings);
        var steps = StepPlan.Create(Rows, microBatchSize: 2, groupsPerStep: 3, epochs: 1, maxSteps: 4, Seed, shuffle: true);
        var training = Enumerable.Range(0, Rows).Select(row => Sample(row, spec.VocabularySize)).ToImmutableArray();
        var heldOut = Enumerable.Range(Rows, 3).Select(row => Sample(row, spec.VocabularySize)).ToImmutableArray();
        var prompt = new PlannedPrompt(Sample(3, spec.VocabularySize).TokenIds, "", null);
        var plan = new RunPlan
        {
            RunId = model,
            Hashes = new RunHashes(await ModelHash.ComputeAsync(folder, cancellationToken), "tokenizer", "", "data", "configuration"),
            BaseModel = folder,
            VocabularySize = spec.VocabularySize,
            BaseInBFloat16 = false,
            GradientCheckpointing = gradientCheckpointing,
            Seed = Seed,
            Adapter = settings,
            Layout = layout,
            Optimizer = new OptimizerSettings(),
            Schedule = new ScheduleSettings(ScheduleKind.Linear, 0.01, 1, steps.Steps),
            MaxGradientNorm = 1,
            Steps = steps.Steps,
            StepsPerEpoch = steps.StepsPerEpoch,
            Groups = new PlannedGroups(model, steps, training, heldOut, [prompt], new GenerationSettings(6, [])),
        };
        return new TinyTraining(folder, spec, plan, AdapterHash.Version(AdapterInitialization.Create(layout, settings, Seed)));
    }

    /// <summary>Trains in this process, in one lane, without a wire.</summary>
    public async Task<RunResult> TrainInProcessAsync(CancellationToken cancellationToken)
    {
        using var weights = WeightSources.Open(ModelFolder);
        using var model = BaseModel.Load(weights, Spec);
        await using var computer = new TorchGroupComputer(model, Plan.Layout, Plan.Adapter, Plan.GradientCheckpointing, lanes: 1);
        return await InProcessTraining.RunAsync(Plan, Initial, [computer], new RecordingObserver(), TimeProvider.System, cancellationToken);
    }

    /// <summary>Trains through a coordinator and workers with the computers that they have in earnest.</summary>
    public async Task<RunResult> TrainThroughClusterAsync(int workers)
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(new EngineOptions { LeaseDuration = TimeSpan.FromSeconds(30), WorkersToStart = workers }, [(Plan, Initial)]);
        var apps = await Task.WhenAll(Enumerable.Range(0, workers).Select(rank => cluster.StartWorkerAsync(
            rank,
            computers: new TorchComputerSource(new WorkerOptions(cluster.Address, LocalCluster.Token, FormattableString.Invariant($"worker-{rank}"), rank, 1, null)))));
        await cluster.CoordinatorEndsAsync();
        await Task.WhenAll(apps.Select(LocalCluster.EndsAsync));
        Assert.All(apps, app => Assert.Equal(0, LocalCluster.ExitCodeOf(app)));
        return cluster.Outputs[0].Result!;
    }

    private static PlannedSample Sample(int row, int vocabulary)
    {
        var length = 6 + (row * 13 % 35);
        var tokens = Enumerable.Range(0, length).Select(position => 3 + ((((row * 31) + (position * position * 7) + 5) & 0x7fff) % (vocabulary - 3))).ToImmutableArray();
        return new PlannedSample(tokens, [new LabelSpan(2, length)]);
    }
}
