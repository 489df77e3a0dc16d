namespace DistTune.Cli.Tests;

public sealed class MergeVerbTests(Workshop workshop) : IClassFixture<Workshop>
{
    [Fact]
    public async Task Merge_WithVerify_WritesAModelThatComputesAsBaseAndAdapter()
    {
        var merged = workshop.PathOf("merged");

        var (exitCode, output, error) = await Workshop.Disttune("merge", "--base", workshop.PathOf("base"), "--adapter", await Train("merge"), "--output", merged, "--verify");

        Assert.True(exitCode == 0, error);
        Assert.Contains("Verified: largest logit difference", output, StringComparison.Ordinal);
        Assert.All((string[])["config.json", "tokenizer.json", "model.safetensors"], name => Assert.True(File.Exists(Path.Combine(merged, name)), $"{name} is missing."));
        Assert.Equal(2, (await Workshop.Disttune("merge", "--base", workshop.PathOf("base"), "--adapter", workshop.PathOf("merge/adapter"), "--output", merged)).ExitCode);
    }

    [Fact]
    public async Task Merge_SeveralWeightedAdapters_IsVerifiedAsOne()
    {
        var adapter = await Train("weighted");

        var (exitCode, output, error) = await Workshop.Disttune(
            "merge", "--base", workshop.PathOf("base"), "--adapter", $"{adapter}=0.7", "--adapter", $"{adapter}=0.3", "--output", workshop.PathOf("both"), "--verify", "--max-shard-size", "40KB");

        Assert.True(exitCode == 0, error);
        Assert.Contains("Verified", output, StringComparison.Ordinal);
        Assert.True(File.Exists(workshop.PathOf("both/model.safetensors.index.json")));
        Assert.False(Directory.Exists(workshop.PathOf("both/combined-adapter")));
    }

    [Fact]
    public async Task Export_Portable_SaysWhoCanTakeIt()
    {
        var (exitCode, output, error) = await Workshop.Disttune("export", "peft", "--adapter", await Train("export"), "--portable", "--output", workshop.PathOf("portable"));

        Assert.True(exitCode == 0, error);
        Assert.Contains("llama.cpp: yes", output, StringComparison.Ordinal);
        Assert.True(File.Exists(workshop.PathOf("portable/adapter_config.json")));
    }

    [Theory]
    [InlineData("5GB", 5_000_000_000)]
    [InlineData("500mb", 500_000_000)]
    [InlineData("1.5GiB", 1_610_612_736)]
    [InlineData("1234", 1234)]
    public void ShardSizes_AreReadInAnyUnit(string text, long bytes) => Assert.Equal(bytes, Verbs.MergeVerb.ParseSize(text));

    [Theory]
    [InlineData("GB")]
    [InlineData("-1GB")]
    [InlineData("0")]
    [InlineData("many")]
    public void ShardSizes_ThatAreNone_AreRefused(string text) => Assert.Throws<Core.DistTuneException>(() => Verbs.MergeVerb.ParseSize(text));

    private async Task<string> Train(string name)
    {
        var (exitCode, _, error) = await Workshop.Disttune("train", workshop.RunFile, "--output-dir", workshop.PathOf(name));
        Assert.True(exitCode == 0, error);
        return workshop.PathOf($"{name}/adapter");
    }
}
