namespace DistTune.Cli.Tests;

public sealed class CommandLineTests
{
    [Theory]
    [InlineData("train")]
    [InlineData("eval")]
    [InlineData("generate")]
    [InlineData("pretrain")]
    [InlineData("import", "gguf")]
    [InlineData("inspect", "config")]
    [InlineData("inspect", "env")]
    [InlineData("bench", "train")]
    [InlineData("demo")]
    public async Task Help_OfEveryVerb_ShowsExamples(params string[] verb)
    {
        var (exitCode, output, _) = await Workshop.Disttune([.. verb, "--help"]);
        Assert.Equal(0, exitCode);
        Assert.Contains("Examples:", output, StringComparison.Ordinal);
        Assert.Contains($"disttune {string.Join(' ', verb)} ", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tarin", "the nearest is train")]
    [InlineData("train x.yaml --learning-rat 1", "the nearest is --learning-rate")]
    [InlineData("train no-such-file.yaml", "--init")]
    [InlineData("train no-such-file.yaml --resume", "no-such-file.yaml")]
    [InlineData("generate --model nowhere --prompt x", "nowhere")]
    [InlineData("eval", "Required argument")]
    [InlineData("", "There is no verb")]
    public async Task Run_AMistake_SaysTheCureInOneBlockAndEndsWithTwo(string line, string expected)
    {
        var (exitCode, output, error) = await Workshop.Disttune(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(2, exitCode);
        Assert.Empty(output);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Init_WritesAConfigurationThatIsValid_AndNeverOverAnother()
    {
        var folder = Directory.CreateTempSubdirectory("disttune-init-");
        try
        {
            var file = Path.Combine(folder.FullName, "run.yaml");
            var first = await Workshop.Disttune("train", file, "--init");
            var shown = await Workshop.Disttune("inspect", "config", file);
            var second = await Workshop.Disttune("train", file, "--init");

            Assert.Equal(0, first.ExitCode);
            Assert.Equal(0, shown.ExitCode);
            Assert.Contains($"learning_rate: 0.0002  # {file}:", shown.Output, StringComparison.Ordinal);
            Assert.Contains("seed: 3407", shown.Output, StringComparison.Ordinal);
            Assert.Equal(2, second.ExitCode);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task InspectConfig_Keys_ListsNestedOnes()
    {
        var (exitCode, output, _) = await Workshop.Disttune("inspect", "config", "--keys");
        Assert.Equal(0, exitCode);
        Assert.Contains("distributed.lease_seconds: a whole number in 1..86400.", output, StringComparison.Ordinal);
        Assert.Contains("base_model (also model_name_or_path): a path.", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task InspectEnv_NamesProcessorAndLibtorch()
    {
        var (exitCode, output, _) = await Workshop.Disttune("inspect", "env", "--json");
        Assert.Equal(0, exitCode);
        using var facts = System.Text.Json.JsonDocument.Parse(output);
        Assert.False(string.IsNullOrEmpty(facts.RootElement.GetProperty("instruction_set").GetString()));
        Assert.False(string.IsNullOrEmpty(facts.RootElement.GetProperty("libtorch").GetString()));
    }
}
