using DistTune.Core.Training;

namespace DistTune.Core.Tests.Models;

public sealed class AdapterLayoutTests
{
    [Fact]
    public void Create_AllLinear_LeavesTheHeadOutAndPutsABeforeB()
    {
        var layout = AdapterLayout.Create(ConfigText.Describe(), Lora("all-linear"));

        Assert.Equal(28, layout.Entries.Length);
        Assert.Equal("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", layout.Entries[0].Name);
        Assert.Equal([3L, 8L], layout.Entries[0].Shape);
        Assert.Equal("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", layout.Entries[1].Name);
        Assert.Equal([8L, 3L], layout.Entries[1].Shape);
        Assert.Equal("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight", layout.Entries[^1].Name);
        Assert.Equal(1, layout.Entries[^1].Layer);
        Assert.All(layout.Entries, entry => Assert.True(entry.WeightDecay));
    }

    [Theory]
    [InlineData("q_proj", 2)]
    [InlineData("self_attn.q_proj", 2)]
    [InlineData("layers.1.self_attn.q_proj", 1)]
    [InlineData("model.layers.1.self_attn.q_proj", 1)]
    [InlineData("lm_head", 1)]
    public void Create_List_MatchesNameOrDottedSuffix(string target, int modules) =>
        Assert.Equal(2 * modules, AdapterLayout.Create(ConfigText.Describe(), Lora(target)).Entries.Length);

    [Theory]
    [InlineData("proj")]
    [InlineData("query")]
    [InlineData("")]
    [InlineData("attn.q_proj")]
    public void RequireEachTarget_TargetMatchesNothing_ListsWhatThereIs(string target)
    {
        var error = Assert.Throws<DistTuneException>(() => AdapterLayout.RequireEachTarget(ConfigText.Describe(), Lora("v_proj", target)));

        Assert.Contains($"'{target}'", error.Message, StringComparison.Ordinal);
        Assert.Contains("q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_SomeTargetsMatch_TakesThose()
    {
        var spec = ConfigText.Describe();

        Assert.Equal(Names("v_proj"), Names("v_proj", "query"));
        Assert.Contains("'query', 'proj'", Assert.Throws<DistTuneException>(() => AdapterLayout.Create(spec, Lora("query", "proj"))).Message, StringComparison.Ordinal);

        IEnumerable<string> Names(params string[] targets) => AdapterLayout.Create(spec, Lora(targets)).Entries.Select(entry => entry.Name);
    }

    [Fact]
    public void Create_Full_HasEveryWeightOnceAndDecaysMatricesOnly()
    {
        var spec = ConfigText.Describe(("tie_word_embeddings", true));

        var layout = AdapterLayout.Create(spec, new AdapterSettings(AdapterKind.Full, 0, 0, []));

        Assert.Equal(spec.Weights.Select(weight => weight.Name), layout.Entries.Select(entry => entry.Name));
        Assert.DoesNotContain(layout.Entries, entry => entry.Name == "lm_head.weight");
        Assert.All(layout.Entries, entry => Assert.Equal(entry.Shape.Length > 1, entry.WeightDecay));
        Assert.Equal((-1, 2), (layout.Entries[0].Layer, layout.Entries[^1].Layer));
    }

    [Fact]
    public void Initialize_Lora_FillsAWithinItsBoundAndLeavesBZero()
    {
        var layout = AdapterLayout.Create(ConfigText.Describe(), Lora("all-linear"));

        var values = AdapterInitialization.Create(layout, Lora("all-linear"), 42);

        foreach (var entry in layout.Entries)
        {
            var slice = values.AsSpan((int)entry.Offset, (int)entry.Length).ToArray();
            var bound = entry.Name.Contains("lora_A", StringComparison.Ordinal) ? 1 / Math.Sqrt(entry.Shape[1]) : 0;
            Assert.All(slice, value => Assert.InRange(value, (float)-bound, (float)bound));
            Assert.Equal(bound > 0, slice.Distinct().Count() > 1);
        }

        Assert.Equal(AdapterHash.Sha256(values), AdapterHash.Sha256(AdapterInitialization.Create(layout, Lora("all-linear"), 42)));
        Assert.NotEqual(values, AdapterInitialization.Create(layout, Lora("all-linear"), 43));
    }

    [Fact]
    public void Initialize_ATensor_DoesNotDependOnTheOthers()
    {
        var spec = ConfigText.Describe();
        var all = AdapterLayout.Create(spec, Lora("all-linear"));
        var some = AdapterLayout.Create(spec, Lora("v_proj"));

        var one = some.Entries[0];
        var same = all.Entries.Single(entry => entry.Name == one.Name);

        Assert.Equal(
            AdapterInitialization.Create(all, Lora("all-linear"), 1).AsSpan((int)same.Offset, (int)same.Length).ToArray(),
            AdapterInitialization.Create(some, Lora("v_proj"), 1).AsSpan((int)one.Offset, (int)one.Length).ToArray());
    }

    [Fact]
    public void Initialize_Full_IsNormalForMatricesOneForNormsZeroForBiases()
    {
        var spec = ConfigText.Describe(("attention_bias", true), ("vocab_size", 2000));
        var settings = new AdapterSettings(AdapterKind.Full, 0, 0, []);
        var layout = AdapterLayout.Create(spec, settings);

        var values = AdapterInitialization.Create(layout, settings, 7, 0.02);

        var embedding = values.AsSpan(0, 16000).ToArray();
        Assert.InRange(embedding.Average(), -0.001, 0.001);
        Assert.InRange(Math.Sqrt(embedding.Average(value => (double)value * value)), 0.0195, 0.0205);
        foreach (var entry in layout.Entries.Where(entry => entry.Shape.Length == 1))
        {
            var expected = entry.Name.EndsWith(".bias", StringComparison.Ordinal) ? 0f : 1f;
            Assert.All(values.AsSpan((int)entry.Offset, (int)entry.Length).ToArray(), value => Assert.Equal(expected, value));
        }
    }

    [Fact]
    public void Initialize_PinnedHash_IsTheSameOnEveryMachine()
    {
        var layout = AdapterLayout.Create(ConfigText.Describe(), Lora("all-linear"));
        var full = new AdapterSettings(AdapterKind.Full, 0, 0, []);
        var fullLayout = AdapterLayout.Create(ConfigText.Describe(), full);

        Assert.Equal("d0cce9148c235a91d7874431e096ee8312a3696bfc6b8e81b43440b693ed0009", AdapterHash.Sha256(AdapterInitialization.Create(layout, Lora("all-linear"), 42)));
        Assert.Equal("7b7a1ebd2efe2c43713bbd7721d3f6cceb8f5f45a0759a8cea3aa1dcf87edc41", AdapterHash.Sha256(AdapterInitialization.Create(fullLayout, full, 42)));
    }

    private static AdapterSettings Lora(params string[] targets) => new(AdapterKind.Lora, 3, 6, [.. targets]);
}
