using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Tests.Formats;

namespace DistTune.Core.Tests.Merging;

public sealed class AdapterRewritingTests
{
    [Fact]
    public void A_concatenation_adds_exactly_what_the_adapters_add()
    {
        var (first, second) = (Load("multi-adapter/first"), Load("multi-adapter/second"));

        var both = AdapterCombination.Combine([(first, 0.7), (second, -0.3)], CombinationKind.Cat);

        foreach (var (module, one, other) in both.Modules.Zip(first.Modules, second.Modules))
        {
            var expected = Product(one).Zip(Product(other), (a, b) => (0.7 * a) - (0.3 * b));
            Assert.All(Product(module).Zip(expected), pair => Assert.Equal(pair.Second, pair.First, 1e-6));
            Assert.Equal(one.Rank + other.Rank, module.Rank);
        }
    }

    [Fact]
    public void A_portable_form_adds_the_same_with_one_rank_and_one_alpha()
    {
        var first = Load("multi-adapter/first");
        // Modules of different ranks and scales, as patterns and rsLoRA give them.
        var modules = first.Modules.Select((module, index) => (index == 1 ? AdapterFactors.Pad(module, 7) : module) with { Scale = 1 + index });
        var mixed = new AdapterFolder("mixed", first.Config, [.. modules], first.Replaced, first.BaseWeights);

        var portable = PortableAdapter.Of(mixed);

        Assert.Single(portable.Modules.Select(module => module.Rank).Distinct());
        Assert.Single(portable.Modules.Select(module => module.Scale).Distinct());
        Assert.All(AdapterConsumers.Of(portable).Consumers, consumer => Assert.Empty(consumer.Reasons));
        foreach (var (module, other) in portable.Modules.Zip(mixed.Modules))
        {
            Assert.All(Product(module).Zip(Product(other)), pair => Assert.Equal(pair.Second, pair.First, 1e-6));
        }
    }

    [Fact]
    public void The_difference_from_the_start_is_what_training_added()
    {
        var (trained, start) = (Load("pissa/adapter_final"), Load("pissa/adapter_init"));

        var difference = AdapterDifference.Of(trained, start);

        foreach (var (module, one, other) in difference.Modules.Zip(trained.Modules, start.Modules))
        {
            Assert.Equal(2 * one.Rank, module.Rank);
            Assert.All(Product(module).Zip(Product(one).Zip(Product(other), (a, b) => a - b)), pair => Assert.Equal(pair.Second, pair.First, 1e-5));
        }
    }

    [Fact]
    public void What_was_saved_reads_back_as_PEFT_writes_it()
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "adapter");

        Load("multi-adapter/first").Save(path);

        var read = PeftAdapter.Load(path);
        Assert.Equal(4, read.Settings.Rank);
        Assert.Equal(PeftAdapter.Load(Golden.Path("train/multi-adapter/first")).Names, read.Names);
        Assert.Contains("| llama.cpp | yes", File.ReadAllText(Path.Combine(path, PeftAdapter.CardName)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_base_that_is_not_as_its_configuration_says_is_named_before_anything_is_written()
    {
        using var folder = new TemporaryFolder();
        var (model, output) = (Directory.CreateDirectory(Path.Combine(folder.Path, "base")).FullName, Path.Combine(folder.Path, "merged"));
        File.Copy(Golden.Path("models/llama-tiny/model.safetensors"), Path.Combine(model, "model.safetensors"));
        var config = File.ReadAllText(Golden.Path("models/llama-tiny/config.json"));
        File.WriteAllText(Path.Combine(model, "config.json"), config.Replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", StringComparison.Ordinal));

        var fault = Assert.Throws<DistTuneException>(() =>
            ModelMerge.Write(model, Load("lora-basic/adapter_final"), output, new MergeOptions(), null, TestContext.Current.CancellationToken));

        Assert.StartsWith($"{model}: 9 weights are not as the configuration says", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bias_of_B_that_the_base_has_no_bias_for_is_not_merged()
    {
        using var folder = new TemporaryFolder();
        var output = Path.Combine(folder.Path, "merged");

        var fault = Assert.Throws<DistTuneException>(() =>
            ModelMerge.Write(Golden.Path("models/llama-tiny"), Load("lora-b-bias/adapter_final"), output, new MergeOptions(), null, TestContext.Current.CancellationToken));

        Assert.Contains("trained with lora_bias, and 4 of its modules, such as model.layers.0.self_attn.q_proj, have no bias in the base", fault.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public void An_adapter_whose_start_changed_the_base_is_not_merged()
    {
        using var folder = new TemporaryFolder();
        var output = Path.Combine(folder.Path, "merged");

        var fault = Assert.Throws<DistTuneException>(() =>
            ModelMerge.Write(Golden.Path("models/llama-tiny"), Load("pissa/adapter_final"), output, new MergeOptions(), null, TestContext.Current.CancellationToken));

        Assert.Contains("pissa", fault.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public void A_model_that_fails_its_check_is_not_published()
    {
        using var folder = new TemporaryFolder();
        var output = Path.Combine(folder.Path, "merged");

        Assert.Throws<InvalidOperationException>(() =>
            ModelMerge.Write(
                Golden.Path("models/llama-tiny"),
                Load("multi-adapter/first"),
                output,
                new MergeOptions(),
                _ => throw new InvalidOperationException("not equal"),
                TestContext.Current.CancellationToken));

        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void An_adapter_of_another_base_is_refused_by_the_names_that_do_not_fit()
    {
        using var folder = new TemporaryFolder();

        var fault = Assert.Throws<DistTuneException>(() =>
            ModelMerge.Write(Golden.Path("models/phi3-tiny"), Load("multi-adapter/first"), Path.Combine(folder.Path, "merged"), new MergeOptions(), null, TestContext.Current.CancellationToken));

        Assert.Contains("q_proj", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_combination_of_unequal_ranks_is_refused_where_it_would_be_linear()
    {
        var first = Load("multi-adapter/first");
        var twice = AdapterCombination.Combine([(first, 1), (first, 1)], CombinationKind.Cat);

        var fault = Assert.Throws<DistTuneException>(() => AdapterCombination.Combine([(first, 1), (twice, 1)], CombinationKind.Linear));

        Assert.Contains("cat", fault.Message, StringComparison.Ordinal);
    }

    private static AdapterFolder Load(string name) => AdapterFolder.Load(Golden.Path($"train/{name}"));

    private static float[] Product(AdaptedModule module)
    {
        var product = new float[module.WeightShape[0] * module.WeightShape[1]];
        WeightUpdate.Apply(module, product);
        return product;
    }
}
