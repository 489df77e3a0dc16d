using DistTune.Core.Configuration;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Configuration;

public sealed class AdapterKeysTests
{
    private const string Minimal = "base_model: model\ndatasets: [{path: rows.jsonl}]\noutput_dir: out\n";

    private const string Everything = """
        adapter: dora
        lora_r: 4
        lora_target_modules: '.*\.(q|v)_proj'
        exclude_modules: [layers.0.self_attn.q_proj]
        rank_pattern: {q_proj: 2, 'layers\.1\..*': 6}
        alpha_pattern: {v_proj: 1.5}
        use_rslora: true
        bias: lora_only
        modules_to_save: [embed_tokens]
        ensure_weight_tying: true
        lora_dropout: 0.1
        init_lora_weights: gaussian
        loraplus_lr_ratio: 16
        loraplus_lr_embedding: 1e-3
        label_smoothing_factor: 0.1
        init_adapter_strict: false
        """;

    [Fact]
    public void Load_EveryAdapterKey_ReachesTheSettings()
    {
        var config = Load(Everything);

        var adapter = config.Adapter;
        Assert.Equal((".*\\.(q|v)_proj", 0), (adapter.TargetPattern, adapter.TargetModules.Length));
        Assert.Equal(["layers.0.self_attn.q_proj"], adapter.ExcludeModules);
        Assert.Equal([new("q_proj", 2), new(@"layers\.1\..*", 6)], adapter.RankPattern);
        Assert.Equal((2, 4), (adapter.RankOf("model.layers.1.self_attn.q_proj"), adapter.RankOf("model.layers.0.mlp.up_proj")));
        Assert.Equal(1.5 / Math.Sqrt(6), adapter.ScaleOf("model.layers.1.self_attn.v_proj"), 1e-15);
        Assert.True(adapter.Dora && adapter.RankStabilized && adapter.EnsureWeightTying && !adapter.BiasOfB);
        Assert.Equal((BiasTraining.LoraOnly, LoraStart.Gaussian, 0.1), (adapter.Bias, adapter.Start, adapter.Dropout));
        Assert.Equal(["embed_tokens"], adapter.ModulesToSave);
        Assert.Equal(new LoraPlusSettings(16, 1e-3), config.LoraPlus);
        Assert.Equal((0.1, false), (config.LabelSmoothing, config.InitialAdapterIsStrict));
        Assert.Equal([0, 2], Load("layers_to_transform: [0, 2]\nlayers_pattern: layers").Adapter.LayersToTransform);
        Assert.Equal([1], Load("layers_to_transform: 1").Adapter.LayersToTransform);
    }

    [Theory]
    [InlineData(Everything)]
    [InlineData("adapter: full")]
    [InlineData("layers_to_transform: [0, 2]")]
    public void Load_ResolvedConfiguration_GivesTheSameAgain(string yaml)
    {
        var text = ConfigYaml.Write(Load(yaml).Values, origins: false);

        Assert.Equal(text, ConfigYaml.Write(RunConfigLoader.Load(new ConfigSource(text, "config.yaml", "/runs"), [], "/").Values, origins: false));
    }

    [Theory]
    [InlineData("lora_target_modules: [q_proj, '.*v_proj']", "stands alone")]
    [InlineData("exclude_modules: [q_proj, 'v.*']", "stands alone")]
    [InlineData("adapter: full\nuse_rslora: true", "does not go with adapter: full")]
    [InlineData("adapter: full\ninit_adapter: a", "does not go with adapter: full")]
    [InlineData("loraplus_lr_embedding: 1e-3", "goes with loraplus_lr_ratio")]
    [InlineData("rank_pattern: {q_proj: 2.5}", "must be a whole number")]
    [InlineData("rank_pattern: {q_proj: 0}", "rank_pattern.q_proj must be names with numbers in 1..1024, got 0")]
    [InlineData("rank_pattern: [2]", "rank_pattern must be names with numbers")]
    [InlineData("layers_to_transform: [one]", "must be a list of whole numbers")]
    [InlineData("layers_to_transform: [-1]", "must be a list of whole numbers")]
    [InlineData("bias: some", "one of none, all, lora_only")]
    public void Load_Contradiction_IsAFaultWithItsCure(string yaml, string expected) =>
        Assert.Contains(expected, Assert.Single(Assert.Throws<ConfigurationException>(() => Load(yaml)).Faults).Message, StringComparison.Ordinal);

    private static RunConfig Load(string yaml) => RunConfigLoader.Load(new ConfigSource(Minimal + yaml, "run.yaml", "/runs"), [], "/home/me");
}
