using DistTune.Core.Training;

namespace DistTune.Core.Tests.Models;

public sealed class AdapterKindLayoutTests
{
    [Fact]
    public void Create_EveryTensorOfAModule_StandsInCanonicalOrder()
    {
        var spec = ConfigText.Describe(("attention_bias", true), ("mlp_bias", true));
        var settings = Lora("q_proj") with { Dora = true, Bias = BiasTraining.All, LayersToTransform = [1] };

        var names = AdapterLayout.Create(spec, settings).Entries.Select(entry => entry.Name["base_model.model.".Length..]).ToArray();

        Assert.Equal("model.layers.0.self_attn.q_proj.bias", names[0]);
        Assert.Equal(
            [
                "model.layers.1.self_attn.q_proj.lora_A.weight", "model.layers.1.self_attn.q_proj.lora_B.weight",
                "model.layers.1.self_attn.q_proj.base_layer.bias", "model.layers.1.self_attn.q_proj.lora_magnitude_vector",
                "model.layers.1.self_attn.k_proj.bias",
            ],
            names[7..12]);
    }

    [Theory]
    [InlineData(false, "embed_tokens.weight;lm_head.weight")]
    [InlineData(true, "embed_tokens.weight")]
    public void Create_TiedHeadAndEmbeddingSaved_AreOneTensorOnlyIfTyingIsEnsured(bool ensured, string expected)
    {
        var spec = ConfigText.Describe(("tie_word_embeddings", true));
        var settings = Lora("q_proj") with { ModulesToSave = ["embed_tokens", "lm_head"], EnsureWeightTying = ensured };

        var saved = AdapterLayout.Create(spec, settings).Entries.Where(entry => entry.Role == TensorRole.Weight).ToArray();

        Assert.Equal(expected.Split(';'), saved.Select(entry => string.Join('.', entry.Name.Split('.')[^2..])));
        Assert.Equal(ensured ? ["base_model.model.lm_head.weight"] : [], saved[0].Aliases);
        Assert.Equal([32L, 8L], saved[^1].Shape);
    }

    [Fact]
    public void Create_EmbeddingAndTiedHeadTargeted_HaveFactorsOfTheirOwn()
    {
        var layout = AdapterLayout.Create(ConfigText.Describe(("tie_word_embeddings", true)), Lora("embed_tokens", "lm_head"));

        Assert.Equal(
            ["model.embed_tokens.lora_embedding_A", "model.embed_tokens.lora_embedding_B", "lm_head.lora_A.weight", "lm_head.lora_B.weight"],
            layout.Entries.Select(entry => entry.Name["base_model.model.".Length..]));
        Assert.Equal([[3L, 32L], [8L, 3L], [3L, 8L], [32L, 3L]], layout.Entries.Select(entry => entry.Shape.ToArray()));
        Assert.Equal([-1, -1, 2, 2], layout.Entries.Select(entry => entry.Layer));
    }

    [Theory]
    [InlineData("self_attn.q_proj", 1)]
    [InlineData("model.layers.1.self_attn.q_proj", 1)]
    [InlineData("all-linear", 7)]
    public void Targets_OfSomeLayers_LeaveAModuleInThatIsNamedWhole(string target, int modules)
    {
        var settings = Lora(target) with { LayersToTransform = [0], LayersPattern = ["layers"] };

        Assert.Equal(modules, AdapterLayout.Targets(ConfigText.Describe(), settings).Length);
    }

    [Fact]
    public void RankOf_SeveralPatternsMatch_TheFirstCounts()
    {
        var settings = Lora("q_proj") with { RankPattern = [new(@"layers\.1\..*", 5), new("q_proj", 2)], AlphaPattern = [new("self_attn.q_proj", 9)] };

        Assert.Equal((2, 5), (settings.RankOf("model.layers.0.self_attn.q_proj"), settings.RankOf("model.layers.1.self_attn.q_proj")));
        Assert.Equal((4.5, 2.0), (settings.ScaleOf("model.layers.0.self_attn.q_proj"), settings.ScaleOf("model.layers.0.mlp.up_proj")));
        Assert.Equal(3, settings.RankOf("model.layers.0.self_attn.xq_proj"));
    }

    [Fact]
    public void Create_AModuleIsTargetedAndSaved_ItIsTrainedWhole()
    {
        var layout = AdapterLayout.Create(ConfigText.Describe(), Lora("all-linear") with { ModulesToSave = ["mlp.down_proj"] });

        Assert.All(layout.Entries.Where(entry => entry.Module.EndsWith("down_proj", StringComparison.Ordinal)), entry => Assert.Equal(TensorRole.Weight, entry.Role));
        Assert.Contains(layout.Entries, entry => entry.Name == "base_model.model.model.layers.0.mlp.down_proj.weight");
        Assert.Contains(layout.Entries, entry => entry.Name == "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight");
    }

    [Theory]
    [InlineData("pattern", "whole name of no module")]
    [InlineData("broken", "not a regular expression")]
    [InlineData("excluded", "leave none of the 2 modules")]
    [InlineData("saved", "modules_to_save names 'heads'")]
    [InlineData("allSaved", "modules_to_save and layers_to_transform leave none of the 1 modules")]
    [InlineData("embedding", "lora_bias is for linear modules")]
    [InlineData("bias", "use_dora and lora_bias exclude each other")]
    [InlineData("layers", "does not go with the pattern")]
    public void Create_WhatCannotBeMeant_IsAnErrorThatSaysWhy(string kind, string expected)
    {
        var settings = kind switch
        {
            "pattern" => Lora() with { TargetPattern = "q_proj" },
            "broken" => Lora() with { TargetPattern = "(q_proj" },
            "excluded" => Lora("q_proj") with { ExcludePattern = ".*q_proj" },
            "saved" => Lora("q_proj") with { ModulesToSave = ["heads"] },
            "allSaved" => Lora("lm_head") with { ModulesToSave = ["lm_head"] },
            "embedding" => Lora("q_proj", "embed_tokens") with { BiasOfB = true },
            "bias" => Lora("q_proj") with { Dora = true, BiasOfB = true },
            _ => Lora() with { TargetPattern = ".*q_proj", LayersToTransform = [0] },
        };

        Assert.Contains(expected, Assert.Throws<DistTuneException>(() => AdapterLayout.Create(ConfigText.Describe(), settings)).Message, StringComparison.Ordinal);
    }

    private static AdapterSettings Lora(params string[] targets) => new(AdapterKind.Lora, 3, 6, [.. targets]);
}
