using DistTune.Core.Configuration;

namespace DistTune.Core.Tests.Configuration;

public sealed class PretrainConfigTests
{
    private const string Recipe = """
        corpus: [a.txt, b.txt]
        tokenizer:
          vocabulary_size: 512
          special_tokens: ["<|end|>", "<|user|>"]
          eos_token: "<|end|>"
        architecture:
          hidden_size: 64
          intermediate_size: 128
          num_hidden_layers: 2
          num_attention_heads: 4
          num_key_value_heads: 2
          max_position_embeddings: 128
        sequence_len: 64
        learning_rate: 3.0e-3
        output_dir: .
        """;

    [Fact]
    public void Load_ARecipe_HasItsFields()
    {
        var config = Load(Recipe);
        Assert.Equal(["/recipes/a.txt", "/recipes/b.txt"], config.Corpus);
        Assert.Equal("<|end|>", config.Tokenizer.PadToken);
        Assert.Equal("/recipes", config.OutputFolder);
        Assert.Equal(0.02, config.InitializerRange);
        Assert.Contains(KeyValuePair.Create("hidden_size", (object)64L), config.Architecture);
        Assert.DoesNotContain(config.Architecture, field => field.Key == "head_dim");
    }

    [Fact]
    public void Load_AnEmptyRecipe_NamesEverythingThatIsMissing()
    {
        var error = Assert.Throws<ConfigurationException>(() => Load("seed: 1"));
        Assert.Contains(error.Faults, fault => fault.Message.StartsWith("tokenizer.vocabulary_size is missing", StringComparison.Ordinal));
        Assert.Contains(error.Faults, fault => fault.Message.StartsWith("architecture.hidden_size is missing", StringComparison.Ordinal));
        Assert.Contains(error.Faults, fault => fault.Message.StartsWith("corpus is missing", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("eos_token: \"<|end|>\"", "eos_token: \"<|stop|>\"", "must be one of tokenizer.special_tokens")]
    [InlineData("sequence_len: 64", "sequence_len: 256", "at most architecture.max_position_embeddings (128)")]
    public void Load_FieldsThatContradictEachOther_AreRefused(string from, string to, string expected) =>
        Assert.Contains(expected, Assert.Throws<ConfigurationException>(() => Load(Recipe.Replace(from, to, StringComparison.Ordinal))).Message, StringComparison.Ordinal);

    private static PretrainConfig Load(string yaml) => PretrainConfig.Load(new ConfigSource(yaml, "recipe.yaml", "/recipes"), [], "/home/me");
}
