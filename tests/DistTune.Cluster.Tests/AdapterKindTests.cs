using System.Collections.Immutable;
using System.Text.Json.Nodes;
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
using DistTune.Modeling.Adapters;
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
    [InlineData("adapter: dora\nlora_r: 2\nlora_target_modules: [embed_tokens, o_proj]")]
    [InlineData("adapter: dora\nlora_r: 2\nlora_dropout: 0.1\nlora_target_modules: [q_proj, v_proj, down_proj]")]
    [InlineData("lora_bias: true\nbias: lora_only\nlora_target_modules: [q_proj, gate_proj]")]
    [InlineData("modules_to_save: [embed_tokens, lm_head, norm, layers.0.self_attn.v_proj]\nlora_target_modules: [q_proj]")]
    [InlineData("modules_to_save: [embed_tokens]\nensure_weight_tying: true\nlora_target_modules: [q_proj]\nlora_r: 2")]
    [InlineData("lora_dropout: 0.2\nlora_target_modules: [q_proj, v_proj, down_proj, lm_head]\nlabel_smoothing_factor: 0.1\ninit_lora_weights: gaussian")]
    [InlineData("init_lora_weights: pissa\nlora_r: 3\nlora_target_modules: [q_proj, v_proj, down_proj]\nbias: lora_only")]
    [InlineData("lora_target_modules: all-linear\nlora_r: 2", "bf16=true")]
    [InlineData("adapter: qlora\nlora_target_modules: [q_proj, v_proj]")]
    [InlineData("adapter: qlora\nbnb_4bit_quant_type: fp4\nbnb_4bit_use_double_quant: false\nuse_dora: true\nlora_r: 4", "bf16=true")]
    [InlineData("adapter: qlora\ninit_lora_weights: loftq\nlora_r: 3\nlora_target_modules: [q_proj, v_proj, down_proj, lm_head]")]
    [InlineData("adapter: qlora\ninit_lora_weights: loftq\nloftq_iter: 3\nbnb_4bit_use_double_quant: false\nlora_r: 3", "bf16=true")]
    [InlineData("init_adapter: {golden}/train/lora-basic/adapter_final\nlora_target_modules: [q_proj, v_proj]")]
    [InlineData("optimizer: adamw_8bit\nmodules_to_save: [lm_head]\nlora_target_modules: [q_proj]\nweight_decay: 0.1")]
    [InlineData("adapter: full\nweight_decay: 0.1")]
    public async Task An_adapter_of_any_kind_is_the_same_over_two_workers_as_in_one_process(string adapter, params string[] overrides)
    {
        using var small = new SmallRun(adapter.Replace("{golden}", GoldenFolder, StringComparison.Ordinal), biases: true);
        TieHead(small, adapter.Contains("ensure_weight_tying", StringComparison.Ordinal));
        var run = await PrepareAsync(small, overrides);
        var expected = await InOneProcessAsync(run);

        var together = Assert.Single(await OverTwoWorkersAsync(run));

        using var files = new RunFiles(run, TimeProvider.System);
        var folder = files.Complete(expected, 0).AdapterPath;
        var same = expected.Adapter.Sha256 == together.Adapter.Sha256;
        SupportLog.AddWorkersRun(run, folder, adapter.ReplaceLineEndings("; "), same);
        Assert.True(same, $"{expected.Adapter.Sha256} in one process, {together.Adapter.Sha256} over two workers.");
        Assert.NotEqual(run.InitialAdapter.Sha256, expected.Adapter.Sha256);
        ReadsBack(run, folder, expected.Adapter);
    }

    [Fact]
    public async Task Adapters_of_two_runs_over_the_same_workers_answer_together_as_those_of_one_process_do()
    {
        using var small = new SmallRun("lora_target_modules: [q_proj, down_proj]", biases: true);
        var runs = await Task.WhenAll(
            PrepareAsync(small, "output_dir=advice"),
            PrepareAsync(small, "output_dir=tone", "lora_r=3", "use_rslora=true", "lora_target_modules=[q_proj, v_proj]", "seed=11"));
        RunResult[] alone = [await InOneProcessAsync(runs[0]), await InOneProcessAsync(runs[1])];

        var together = await OverTwoWorkersAsync(runs);

        var expected = await AnswerAsync(runs, alone);
        var same = (await AnswerAsync(runs, together)).SequenceEqual(expected);
        SupportLog.AddWorkersTogether(nameof(Adapters_of_two_runs_over_the_same_workers_answer_together_as_those_of_one_process_do), same);
        Assert.True(same);
        Assert.NotEqual(expected, await AnswerAsync(runs[..1], alone[..1]));
    }

    private static string GoldenFolder => Path.Combine(SmallRun.RepositoryRoot(), "tests", "golden");

    // The file keeps its head, which a tied base does not read.
    private static void TieHead(SmallRun small, bool tied)
    {
        var path = Path.Combine(Path.GetDirectoryName(small.ConfigPath)!, "base", "config.json");
        var config = JsonNode.Parse(File.ReadAllText(path))!;
        config["tie_word_embeddings"] = tied;
        File.WriteAllText(path, config.ToJsonString());
    }

    private static Task<PreparedRun> PrepareAsync(SmallRun small, params IEnumerable<string> overrides)
    {
        var config = RunConfigLoader.Load(small.ConfigPath, [.. overrides.Prepend("generate_samples=false").Prepend(Short).Select(ConfigOverride.FromAssignment)]);
        return RunPlanner.CreateAsync(config, bfloat16ByDefault: false, TestContext.Current.CancellationToken);
    }

    private static async Task<RunResult> InOneProcessAsync(PreparedRun run)
    {
        using var model = OpenBase(run);
        await using var computer = new TorchGroupComputer(model, run.Plan.Layout, run.Plan.Adapter, run.Plan.Pass, lanes: 1);
        return await InProcessTraining.RunAsync(run.Plan, run.InitialAdapter, [computer], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken);
    }

    private static BaseModel OpenBase(PreparedRun run)
    {
        var plan = run.Plan;
        return plan.Adapter.Kind == AdapterKind.Full
            ? BaseModel.WithoutWeights(run.Spec)
            : BaseModel.Open(plan.BaseModel, plan.Hashes.Base, run.Spec, plan.BaseInBFloat16 ? BasePrecision.BFloat16 : BasePrecision.Float32, plan.Quantization, BaseChange.Of(plan.Layout, plan.Adapter, plan.Quantization));
    }

    private static async Task<IReadOnlyList<RunResult>> OverTwoWorkersAsync(params PreparedRun[] runs)
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(new EngineOptions { WorkersToStart = 2 }, runs.Select(run => (run.Plan, run.InitialAdapter)));
        var workers = await Task.WhenAll(Enumerable.Range(0, 2).Select(rank =>
            cluster.StartWorkerAsync(rank, 1 + rank, computers: new TorchComputerSource(LocalCluster.OptionsOf(cluster.GrpcPort, rank, 1 + rank)))));
        await cluster.CoordinatorEndsAsync();
        await Task.WhenAll(workers.Select(LocalCluster.EndsAsync));
        Assert.Equal(0, cluster.CoordinatorExitCode);
        return [.. cluster.Outputs.Select(output => output.Result!)];
    }

    // The adapters as they are read from the folders that the runs leave, each by its weight.
    private static async Task<ImmutableArray<int>> AnswerAsync(PreparedRun[] runs, IReadOnlyList<RunResult> results)
    {
        var adapters = runs.Zip(results, (run, result) =>
        {
            using var files = new RunFiles(run, TimeProvider.System);
            var peft = PeftAdapter.Load(files.Complete(result, 0).AdapterPath);
            var layout = AdapterLayout.Create(run.Spec, peft.Settings);
            return new LoadedAdapter(layout, peft.Settings, AdapterHash.Version(peft.ToVector(layout)), 3);
        });
        using var model = OpenBase(runs[0]);
        var (computer, version) = TorchGroupComputer.Over(model, [.. adapters]);
        await using var running = computer;
        var prompt = new MicroBatch([new Segment([7, 60, 33, 210, 5], [], 0)]);
        var outcome = await computer.ComputeAsync(new GroupSpec("answer", 0, 0, GroupKind.Generate, [prompt], new GenerationSettings(24, [])), version, new NoSink(), TestContext.Current.CancellationToken);
        return Assert.Single(outcome.Continuations);
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

        if (StartDifference.Applies(run.Plan.Adapter))
        {
            var difference = StartDifference.Of(run.Plan.Layout, run.Plan.Adapter);
            adapter = AdapterHash.Version(difference.Values(run.Plan.Layout, adapter.Values.Span, run.InitialAdapter.Values.Span));
        }

        var peft = PeftAdapter.Load(folder);
        var layout = AdapterLayout.Create(run.Spec, peft.Settings);
        Assert.Equal(run.Plan.Layout.Entries.Select(entry => entry.Name), layout.Entries.Select(entry => entry.Name));
        Assert.Equal(adapter.Sha256, AdapterHash.Sha256(peft.ToVector(layout)));
    }

    private sealed class NoSink : IGradientSink
    {
        public void Write(long offset, ReadOnlySpan<float> values) => Assert.Fail("Answers have no gradient.");

        public void Progress()
        {
        }
    }
}
