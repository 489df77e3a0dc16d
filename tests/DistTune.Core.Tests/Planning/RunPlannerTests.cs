using DistTune.Core.Configuration;
using DistTune.Core.Planning;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Planning;

public sealed class RunPlannerTests
{
    private const string Run = """
        base_model: model
        datasets: [{path: rows.jsonl}]
        output_dir: out
        lora_r: 2
        micro_batch_size: 2
        gradient_accumulation_steps: 2
        num_epochs: 2
        """;

    [Fact]
    public async Task Create_TheSameTwice_GivesTheSamePlan()
    {
        using var tiny = new TinyBase();
        var (a, b) = (await Plan(tiny, Run), await Plan(tiny, Run));

        Assert.Equal(a.Plan.RunId, b.Plan.RunId);
        Assert.Equal(a.Plan.Hashes, b.Plan.Hashes);
        Assert.Equal(a.InitialAdapter.Sha256, b.InitialAdapter.Sha256);
        Assert.Equal(PlanJson.Write(a), PlanJson.Write(b));
    }

    [Theory]
    [InlineData("seed: 1")]
    [InlineData("learning_rate: 1e-3")]
    [InlineData("lora_alpha: 3")]
    [InlineData("shuffle: false")]
    [InlineData("warmup_ratio: 0.5")]
    [InlineData("bf16: true")]
    [InlineData("lora_dropout: 0.1")]
    [InlineData("label_smoothing_factor: 0.1")]
    [InlineData("use_rslora: true")]
    [InlineData("use_dora: true")]
    [InlineData("loraplus_lr_ratio: 2")]
    [InlineData("exclude_modules: [q_proj]")]
    [InlineData("rank_pattern: {q_proj: 3}")]
    [InlineData("modules_to_save: [norm]")]
    public async Task Create_WhateverCanChangeTheResult_ChangesTheRunsIdentity(string line)
    {
        using var tiny = new TinyBase();
        var (plain, changed) = (await Plan(tiny, Run), await Plan(tiny, Run + "\n" + line));
        Assert.NotEqual(plain.Plan.RunId, changed.Plan.RunId);
        Assert.NotEqual(plain.Plan.Hashes.Configuration, changed.Plan.Hashes.Configuration);
    }

    [Fact]
    public async Task Create_AllWeightsOfAGgufFile_IsRefusedBeforeAnythingIsRead()
    {
        using var tiny = new TinyBase();
        File.Move(Path.Combine(tiny.Folder, "model", "config.json"), Path.Combine(tiny.Folder, "model", "base.gguf"));
        File.Delete(Path.Combine(tiny.Folder, "model", "model.safetensors"));
        foreach (var path in (string[])["model", "model/base.gguf"])
        {
            var yaml = Run.Replace("base_model: model", "base_model: " + path, StringComparison.Ordinal).Replace("lora_r: 2", "adapter: full", StringComparison.Ordinal);
            var error = await Assert.ThrowsAsync<DistTuneException>(() => Plan(tiny, yaml));
            Assert.Equal(FaultKind.Configuration, error.Kind);
            Assert.Contains("disttune import gguf", error.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("distributed: {workers: 3, lease_seconds: 5}")]
    [InlineData("logging_steps: 7")]
    [InlineData("gradient_checkpointing: false")]
    [InlineData("eval_steps: 1")]
    public async Task Create_WhateverCannotChangeTheResult_LeavesTheRunsIdentity(string line)
    {
        using var tiny = new TinyBase();
        var (plain, changed) = (await Plan(tiny, Run), await Plan(tiny, Run + "\n" + line));
        Assert.Equal(plain.Plan.RunId, changed.Plan.RunId);
    }

    [Fact]
    public async Task TrainingGroups_OverAnEpoch_HoldEveryRowOnce()
    {
        using var tiny = new TinyBase();
        var run = await Plan(tiny, Run);
        var samples = Enumerable.Range(0, run.Plan.StepsPerEpoch)
            .SelectMany(step => run.Plan.Groups.TrainingGroups(step))
            .SelectMany(group => group.MicroBatches.Single().Segments)
            .Select(segment => segment.Sample);

        Assert.Equal(2, run.Plan.StepsPerEpoch);
        Assert.Equal(4, run.Plan.Steps);
        Assert.Equal(Enumerable.Range(0, 7).Select(row => (long)row), samples.Order());
        Assert.All(run.Plan.Groups.TrainingGroups(0), group => Assert.Equal((run.Plan.RunId, 0, GroupKind.Train), (group.RunId, group.Step, group.Kind)));
    }

    [Fact]
    public async Task GenerationGroups_HeldOutAndSamplePrompts_AreAnsweredInOrder()
    {
        using var tiny = new TinyBase();
        var run = await Plan(tiny, Run + "\nval_set_size: 5\nsample_prompts: [Arpa?]\neval_samples: 4\nmax_new_tokens: 9");
        var groups = run.Plan.Groups.GenerationGroups(0);
        var segments = groups.SelectMany(group => group.MicroBatches.Single().Segments).ToArray();

        Assert.Equal(5, run.Data.HeldOutRows);
        Assert.Equal(5, segments.Length);
        Assert.Equal(run.Prompts.Select(prompt => prompt.TokenIds.AsEnumerable()), segments.Select(segment => segment.TokenIds.AsEnumerable()));
        Assert.Equal([true, true, true, true, false], run.Prompts.Select(prompt => prompt.Reference is not null));
        Assert.Equal(9, groups[0].Generation!.MaxNewTokens);
        Assert.Equal([0], groups[0].Generation!.StopTokens);
        Assert.Equal(5, run.Plan.Groups.EvaluationGroups(0).Sum(group => group.MicroBatches.Single().Segments.Length));
    }

    [Fact]
    public async Task Answers_TheReferenceItself_ScoresOne()
    {
        using var tiny = new TinyBase();
        var run = await Plan(tiny, Run + "\nval_set_size: 2");
        var answers = run.Answers([.. run.Prompts.Select(prompt => System.Collections.Immutable.ImmutableArray.Create(run.Tokenizer.Encode(prompt.Reference!, false)))]);
        Assert.Equal(1, PreparedRun.F1(answers));
    }

    [Theory]
    [InlineData(-3, "its last ids have no row")]
    [InlineData(200, "they do not belong together")]
    public async Task Create_TokenizerOfAnotherModel_IsRefused(int missingTokens, string expected)
    {
        using var tiny = new TinyBase(missingTokens);
        var error = await Assert.ThrowsAsync<DistTuneException>(() => Plan(tiny, Run));
        Assert.Equal(FaultKind.Configuration, error.Kind);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Create_NothingToTrain_IsRefusedWithTheCause()
    {
        using var tiny = new TinyBase();
        var error = await Assert.ThrowsAsync<DistTuneException>(() => Plan(tiny, Run + "\nsequence_len: 4"));
        Assert.Contains("sequence_len 4", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Create_RowsLongerThanTheBase_AreOnlyTakenByDefault()
    {
        using var tiny = new TinyBase(positions: 64);
        Assert.Equal(64, (await Plan(tiny, Run)).Config.SequenceLength);
        var error = await Assert.ThrowsAsync<DistTuneException>(() => Plan(tiny, Run + "\nsequence_len: 65"));
        Assert.Contains("at most the base's 64 positions, got 65 (run.yaml:8)", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Create_TargetThatMatchesNothing_IsRefused()
    {
        using var tiny = new TinyBase();
        var error = await Assert.ThrowsAsync<DistTuneException>(() => Plan(tiny, Run + "\nlora_target_modules: [q_porj]"));
        Assert.Contains("q_porj", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Complete_ARun_WritesSummaryAndAdapterThatReadBack()
    {
        using var tiny = new TinyBase();
        var run = await Plan(tiny, Run);
        var folder = RunFolder.Create(run);
        var summary = folder.Complete(run, run.InitialAdapter, new RunMeasurement(2, []), new RunMeasurement(1, []), new RunFigures(2, 10, 20, 30));

        var read = RunSummary.FromJson(await File.ReadAllTextAsync(folder.SummaryFile, TestContext.Current.CancellationToken), folder.SummaryFile);
        Assert.Equal(summary.AdapterSha256, read.AdapterSha256);
        Assert.Equal((2.0, 1.0), (read.LossBefore, read.LossAfter));
        Assert.Null(read.F1Before);
        var resumed = await Plan(tiny, Run + "\ninit_adapter: out/adapter");
        Assert.Equal(run.InitialAdapter.Sha256, resumed.InitialAdapter.Sha256);
    }

    private static Task<PreparedRun> Plan(TinyBase tiny, string yaml) => RunPlanner.CreateAsync(
        RunConfigLoader.Load(new ConfigSource(yaml, "run.yaml", tiny.Folder), [], tiny.Folder), bfloat16ByDefault: false, TestContext.Current.CancellationToken);
}
