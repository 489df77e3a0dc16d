using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Planning;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Goldens.Support;
using DistTune.Modeling;
using DistTune.Worker;

namespace DistTune.Cluster.Tests;

/// <summary>Every adapter kind, from its configuration over coordinator and workers to the files it leaves.</summary>
public sealed class AdapterKindTests
{
    private const string Short = "max_steps=3";

    [Theory]
    [InlineData("lora_target_modules: [q_proj, mlp.down_proj]\nexclude_modules: layers.0.mlp.down_proj")]
    [InlineData("lora_target_modules: '.*\\.(q|v)_proj'\nuse_rslora: true")]
    [InlineData("layers_to_transform: [1]\nrank_pattern: {q_proj: 2, down_proj: 6}\nalpha_pattern: {'layers.1.self_attn.v_proj': 3.5}")]
    [InlineData("lora_target_modules: [q_proj, embed_tokens, lm_head]\nlora_r: 4\nloraplus_lr_ratio: 4\nloraplus_lr_embedding: 1e-3")]
    [InlineData("adapter: dora\nlora_r: 4\nbias: all")]
    [InlineData("lora_bias: true\nbias: lora_only\nlora_target_modules: [q_proj, gate_proj]")]
    [InlineData("modules_to_save: [embed_tokens, lm_head, norm, layers.0.self_attn.v_proj]\nlora_target_modules: [q_proj]")]
    [InlineData("lora_dropout: 0.2\nlora_target_modules: [q_proj, v_proj, down_proj, lm_head]\nlabel_smoothing_factor: 0.1\ninit_lora_weights: gaussian")]
    [InlineData("init_lora_weights: pissa\nlora_r: 3\nlora_target_modules: [q_proj, v_proj, down_proj]\nbias: lora_only")]
    [InlineData("adapter: full\nweight_decay: 0.1")]
    public async Task An_adapter_of_any_kind_is_the_same_over_two_workers_as_in_one_process(string adapter)
    {
        using var small = new SmallRun(adapter, biases: true);
        var config = RunConfigLoader.Load(small.ConfigPath, [ConfigOverride.FromAssignment(Short), ConfigOverride.FromAssignment("generate_samples=false")]);
        var run = await RunPlanner.CreateAsync(config, bfloat16ByDefault: false, TestContext.Current.CancellationToken);
        var expected = await InOneProcessAsync(run);
        await using var cluster = new LocalCluster();

        await cluster.StartCoordinatorAsync(new EngineOptions { WorkersToStart = 2 }, [(run.Plan, run.InitialAdapter)]);
        var workers = await Task.WhenAll(Enumerable.Range(0, 2).Select(rank =>
            cluster.StartWorkerAsync(rank, 1 + rank, computers: new TorchComputerSource(LocalCluster.OptionsOf(cluster.GrpcPort, rank, 1 + rank)))));
        await cluster.CoordinatorEndsAsync();
        await Task.WhenAll(workers.Select(LocalCluster.EndsAsync));

        Assert.Equal(0, cluster.CoordinatorExitCode);
        using var files = new RunFiles(run, TimeProvider.System);
        var folder = files.Complete(expected, 0).AdapterPath;
        var same = expected.Adapter.Sha256 == cluster.Outputs[0].Result!.Adapter.Sha256;
        SupportLog.AddWorkersResult(folder, adapter.ReplaceLineEndings("; "), same);
        Assert.True(same, $"{expected.Adapter.Sha256} in one process, {cluster.Outputs[0].Result!.Adapter.Sha256} over two workers.");
        Assert.NotEqual(run.InitialAdapter.Sha256, expected.Adapter.Sha256);
        ReadsBack(run, folder, expected.Adapter);
    }

    private static async Task<RunResult> InOneProcessAsync(PreparedRun run)
    {
        using var weights = WeightSources.Open(run.Plan.BaseModel);
        using var model = run.Plan.Adapter.Kind == AdapterKind.Full ? BaseModel.WithoutWeights(run.Spec) : BaseModel.Load(PissaStart.ChangeOf(run.Plan.Layout, run.Plan.Adapter)?.Invoke(weights) ?? weights, run.Spec);
        await using var computer = new TorchGroupComputer(model, run.Plan.Layout, run.Plan.Adapter, run.Plan.Pass, lanes: 1);
        return await InProcessTraining.RunAsync(run.Plan, run.InitialAdapter, [computer], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken);
    }

    private static void ReadsBack(PreparedRun run, string folder, AdapterVersion adapter)
    {
        if (run.Plan.Adapter.Kind == AdapterKind.Full)
        {
            using var weights = WeightSources.Open(folder);
            Assert.Equal(adapter.Sha256, AdapterHash.Sha256(AdapterInitialization.FromBase(run.Plan.Layout, weights)));
            Assert.Equal(run.Spec.Weights.Length, ModelFamilies.Describe(folder).Weights.Length);
            return;
        }

        if (run.Plan.Adapter.Start == LoraStart.Pissa)
        {
            var difference = PissaDifference.Of(run.Plan.Layout, run.Plan.Adapter);
            adapter = AdapterHash.Version(difference.Values(run.Plan.Layout, adapter.Values.Span, run.InitialAdapter.Values.Span));
        }

        var peft = PeftAdapter.Load(folder);
        var layout = AdapterLayout.Create(run.Spec, peft.Settings);
        Assert.Equal(run.Plan.Layout.Entries.Select(entry => entry.Name), layout.Entries.Select(entry => entry.Name));
        Assert.Equal(adapter.Sha256, AdapterHash.Sha256(peft.ToVector(layout)));
    }
}
