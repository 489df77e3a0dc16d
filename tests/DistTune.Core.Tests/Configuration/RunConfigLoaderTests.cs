using System.Globalization;
using DistTune.Core.Configuration;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Configuration;

public sealed class RunConfigLoaderTests
{
    private const string Minimal = """
        base_model: model
        datasets: [{path: rows.jsonl}]
        output_dir: out
        """;

    [Fact]
    public void Load_OnlyWhatIsRequired_HasTheDocumentedDefaults()
    {
        var config = Load(Minimal);

        Assert.Equal(AdapterKind.Lora, config.Adapter.Kind);
        Assert.Equal(8, config.Adapter.Rank);
        Assert.Equal(16, config.Adapter.Alpha);
        Assert.Equal(["all-linear"], config.Adapter.TargetModules);
        Assert.Equal([new DatasetConfig("/runs/rows.jsonl", "chat_template")], config.Datasets);
        Assert.Equal(2e-4, config.Optimizer.LearningRate);
        Assert.Equal(ScheduleKind.Cosine, config.Optimizer.Schedule);
        Assert.Equal(1.0, config.Optimizer.MaxGradientNorm);
        Assert.Equal(3407ul, config.Seed);
        Assert.Null(config.MaxSteps);
        Assert.Null(config.BFloat16);
        Assert.Null(config.Distributed.Workers);
    }

    [Fact]
    public void Load_TheReferenceExample_IsAccepted()
    {
        var config = Load("""
            base_model: ./model
            adapter: lora
            lora_r: 8
            lora_alpha: 16
            lora_dropout: 0.0
            lora_target_modules: all-linear
            use_rslora: false
            datasets: [{path: d.jsonl, type: chat_template}]
            val_set_size: 0.05
            sequence_len: 2048
            sample_packing: false
            train_on_inputs: false
            micro_batch_size: 2
            gradient_accumulation_steps: 4
            global_batch_size: null
            num_epochs: 1
            max_steps: -1
            learning_rate: 2e-4
            lr_scheduler: cosine
            warmup_ratio: 0.03
            weight_decay: 0.0
            max_grad_norm: 1.0
            optimizer: adamw
            bf16: auto
            gradient_checkpointing: true
            seed: 3407
            output_dir: ./outputs/run
            logging_steps: 1
            eval_steps: null
            save_steps: 100
            save_total_limit: 3
            resume_from_checkpoint: auto
            early_stopping_patience: null
            generate_samples: true
            sample_prompts: []
            distributed: {workers: auto, min_workers: 1, lease_seconds: 120, compression: none}
            observability: {prometheus: true, otlp_endpoint: null}
            alerts: {webhook_url: null, on: [nonfinite, stalled, worker_lost, finished, failed]}
            """);

        Assert.Equal("/runs/model", config.BaseModel);
        Assert.Equal("/runs/outputs/run", config.OutputFolder);
        Assert.Equal(0.05, config.HeldOut);
    }

    [Fact]
    public void Load_Aliases_MeanTheSameKeys()
    {
        var config = Load("""
            model_name_or_path: m
            datasets: [{path: d}]
            output_dir: o
            per_device_train_batch_size: 3
            num_train_epochs: 2.5
            lr_scheduler_type: linear
            max_seq_length: 77
            target_modules: [q_proj, v_proj]
            """);

        Assert.Equal("/runs/m", config.BaseModel);
        Assert.Equal(3, config.MicroBatchSize);
        Assert.Equal(2.5, config.Epochs);
        Assert.Equal(ScheduleKind.Linear, config.Optimizer.Schedule);
        Assert.Equal(77, config.SequenceLength);
        Assert.Equal(["q_proj", "v_proj"], config.Adapter.TargetModules);
    }

    [Fact]
    public void Load_UnknownKey_NamesLineValueExpectationAndNearestKey() =>
        AssertFault(
            "run.yaml:4: unknown key 'lerning_rate' with the value 1e-3; the nearest key is learning_rate, which expects a number above 0 and up to 100.",
            Minimal + "\nlerning_rate: 1e-3");

    [Fact]
    public void Load_KeyOfAnotherSection_NamesItsPlace() =>
        AssertFault("run.yaml:4: unknown key 'lease_seconds' with the value 5; the nearest key is distributed.lease_seconds.", Minimal + "\nlease_seconds: 5");

    [Fact]
    public void Load_ManyFaults_ReportsAllInTheOrderOfTheLines()
    {
        var error = Assert.Throws<ConfigurationException>(() => Load("""
            base_model: https://example.org/model
            datasets: [{path: d.jsonl, typ: alpaca}, {type: parquet}]
            output_dir: o
            lora_r: 0
            learning_rate: fast
            gradient_checkpointing: yes
            micro_batch_size: "2"
            num_epochs: null
            sample_packing: true
            seed: 1
            seed: 2
            """));

        Assert.Equal(
            """
            run.yaml:1: base_model must be a path, got https://example.org/model. Addresses are not fetched: download it and name the file or folder.
            run.yaml:2: unknown key 'datasets[0].typ' with the value alpaca; the nearest key is datasets[0].type, which expects one of chat_template, alpaca, completion, sharegpt, preference.
            run.yaml:2: datasets[1].path is missing; it expects a path. A JSON Lines file.
            run.yaml:2: datasets[1].type must be one of chat_template, alpaca, completion, sharegpt, preference, got parquet.
            run.yaml:4: lora_r must be a whole number in 1..1024, got 0.
            run.yaml:5: learning_rate must be a number above 0 and up to 100, got fast.
            run.yaml:6: gradient_checkpointing must be true or false, got yes.
            run.yaml:7: micro_batch_size must be a whole number in 1..4096, got the text '2'. Remove the quotes.
            run.yaml:8: num_epochs must be a number above 0 and up to 100000, got null.
            run.yaml:9: sample_packing: true is not supported yet. Rows are never padded, so no time is lost without it. Use sample_packing: false.
            run.yaml:11: seed is set twice, first at run.yaml:10. Keep one of them.
            """,
            error.Message);
        Assert.Equal(11, error.Faults.Length);
        Assert.Equal(FaultKind.Configuration, error.Kind);
    }

    [Theory]
    [InlineData("sample_packing: true")]
    [InlineData("early_stopping_patience: 3")]
    [InlineData("distributed: {compression: bf16}")]
    [InlineData("observability: {otlp_endpoint: 'http://localhost:4317'}")]
    [InlineData("alerts: {webhook_url: 'http://localhost/'}")]
    [InlineData("load_in_8bit: true")]
    public void Load_ValidButNotDoneYet_IsRefusedAndNotIgnored(string line)
    {
        var error = Assert.Throws<ConfigurationException>(() => Load(Minimal + "\n" + line));
        Assert.Contains("not supported yet", Assert.Single(error.Faults).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("2e-5", 2e-5)]
    [InlineData("2E-5", 2e-5)]
    [InlineData("2.0e-5", 2e-5)]
    [InlineData("1", 1.0)]
    [InlineData(".5", 0.5)]
    public void Load_NumbersInAnyNotation_AreNumbers(string text, double expected) =>
        Assert.Equal(expected, Load(Minimal + $"\nlearning_rate: {text}").Optimizer.LearningRate);

    [Theory]
    [InlineData("2,5")]
    [InlineData(".nan")]
    [InlineData("Infinity")]
    [InlineData("1_000")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("[1]")]
    public void Load_NoNumber_IsRefused(string text) =>
        Assert.Throws<ConfigurationException>(() => Load(Minimal + $"\nlearning_rate: {text}"));

    [Fact]
    public void Load_Layers_LaterOnesWinAndOriginsTellWho()
    {
        var environment = ConfigOverride.FromEnvironment(new Dictionary<string, string>
        {
            ["DISTTUNE__LEARNING_RATE"] = "5e-5",
            ["DISTTUNE__DISTRIBUTED__WORKERS"] = "2",
            ["DISTTUNE__LORA_R"] = "4",
            ["DISTTUNE_THIRDPARTY"] = "elsewhere",
        });
        ConfigOverride[] line = [new("lr", "1e-4", new ValueOrigin(OriginKind.CommandLine, "--learning-rate")), ConfigOverride.FromAssignment("target-modules=[q_proj]")];
        var config = Load(Minimal + "\nlora_r: 16\nlearning_rate: 1e-3", [.. environment, .. line]);

        Assert.Equal(1e-4, config.Optimizer.LearningRate);
        Assert.Equal(4, config.Adapter.Rank);
        Assert.Equal(["q_proj"], config.Adapter.TargetModules);
        Assert.Equal(2, config.Distributed.Workers);
        Assert.Equal("--learning-rate", config.Values["learning_rate"].Origin.ToString());
        Assert.Equal("DISTTUNE__LORA_R", config.Values["lora_r"].Origin.ToString());
        Assert.Equal("run.yaml:1", config.Values["base_model"].Origin.ToString());
        Assert.Equal("default", config.Values["seed"].Origin.ToString());
    }

    [Fact]
    public void Load_FaultsOfAllLayers_AreInOneReport()
    {
        ConfigOverride[] overrides =
        [
            .. ConfigOverride.FromEnvironment(new Dictionary<string, string> { ["DISTTUNE__SEDE"] = "1" }),
            ConfigOverride.FromAssignment("lora_r=none"),
        ];
        var error = Assert.Throws<ConfigurationException>(() => Load(Minimal + "\nbf16: 16", overrides));

        Assert.Equal(["run.yaml:4", "DISTTUNE__SEDE", "--set lora_r=none"], error.Faults.Select(fault => fault.Origin.ToString()));
    }

    [Fact]
    public void Load_PathsOnTheCommandLine_AreRelativeToTheCurrentFolder() =>
        Assert.Equal("/home/me/x", Load(Minimal, [ConfigOverride.FromAssignment("base_model=x")]).BaseModel);

    [Theory]
    [InlineData("global_batch_size: 8\ngradient_accumulation_steps: 2", "exclude each other")]
    [InlineData("global_batch_size: 7", "multiple of micro_batch_size (2), got 7")]
    [InlineData("warmup_ratio: 0.1\nwarmup_steps: 3", "exclude each other")]
    [InlineData("max_steps: 0", "max_steps must be -1 or at least 1")]
    [InlineData("val_set_size: 1.5", "share below 1 or a whole number")]
    [InlineData("val_set_size: 2\neval_datasets: [{path: e}]", "exclude each other")]
    public void Load_KeysThatContradictEachOther_AreRefused(string lines, string expected)
    {
        var error = Assert.Throws<ConfigurationException>(() => Load(Minimal + "\n" + lines));
        Assert.Contains(expected, Assert.Single(error.Faults).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_GlobalBatchSize_DerivesTheAccumulation() =>
        Assert.Equal(8, Load(Minimal + "\nglobal_batch_size: 16").GradientAccumulationSteps);

    [Theory]
    [InlineData("a: [1", "run.yaml:")]
    [InlineData("base_model: &x m", "anchors")]
    [InlineData("base_model: !!python/object m", "tags")]
    [InlineData("base_model: a\n---\nbase_model: b", "second document")]
    [InlineData("- a\n- b", "keys with values")]
    [InlineData("just words", "keys with values")]
    public void Load_NotAConfiguration_SaysWhereAndWhy(string yaml, string expected) =>
        Assert.Contains(expected, Assert.Throws<ConfigurationException>(() => Load(yaml)).Message, StringComparison.Ordinal);

    [Fact]
    public void Load_EmptyFile_NamesWhatIsMissing()
    {
        var error = Assert.Throws<ConfigurationException>(() => Load(""));
        Assert.Equal(3, error.Faults.Length);
        Assert.StartsWith("run.yaml:1: base_model is missing; it expects a path.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_NestedTooDeep_IsRefused() =>
        Assert.Contains("nested deeper", Assert.Throws<ConfigurationException>(() => Load("a: " + new string('[', 40) + new string(']', 40))).Message, StringComparison.Ordinal);

    [Fact]
    public void Write_ResolvedConfiguration_ReadsBackTheSame()
    {
        var config = Load(Minimal + "\nsample_prompts: [\"Buğday \\\"ne\\\" zaman: ekilir?\", 'true', '']\nlearning_rate: 3e-7\nmax_grad_norm: null");
        var yaml = ConfigYaml.Write(config.Values);
        var again = Load(yaml);

        Assert.Contains("learning_rate: 3e-07  # run.yaml:5\n", yaml, StringComparison.Ordinal);
        Assert.Contains("  - path: /runs/rows.jsonl  # run.yaml:2\n    type: chat_template  # default\n", yaml, StringComparison.Ordinal);
        Assert.Contains("  workers: auto  # default\n", yaml, StringComparison.Ordinal);
        Assert.Equal(config.SamplePrompts, again.SamplePrompts);
        Assert.Equal(ConfigYaml.Write(config.Values, origins: false), ConfigYaml.Write(again.Values, origins: false));
    }

    [Fact]
    public void Load_UnderTurkishCulture_ReadsTheSame()
    {
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = new CultureInfo("tr-TR");
        try
        {
            var environment = ConfigOverride.FromEnvironment(new Dictionary<string, string> { ["DISTTUNE__MICRO_BATCH_SIZE"] = "3", ["DISTTUNE__INIT_ADAPTER"] = "a" });
            var config = Load(Minimal + "\nlearning_rate: 2.5e-4", environment);
            Assert.Equal(2.5e-4, config.Optimizer.LearningRate);
            Assert.Equal(3, config.MicroBatchSize);
            Assert.Contains("learning_rate: 0.00025", ConfigYaml.Write(config.Values), StringComparison.Ordinal);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    private static RunConfig Load(string yaml, IEnumerable<ConfigOverride>? overrides = null) =>
        RunConfigLoader.Load(new ConfigSource(yaml, "run.yaml", "/runs"), overrides ?? [], "/home/me");

    private static void AssertFault(string expected, string yaml) =>
        Assert.Equal(expected, Assert.Throws<ConfigurationException>(() => Load(yaml)).Message);
}
