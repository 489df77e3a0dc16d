using System.Text.Json;

namespace DistTune.Cli.Tests;

public sealed class TrainingVerbTests(Workshop workshop) : IClassFixture<Workshop>
{
    [Fact]
    public async Task Train_AnyWorkersAndThreads_WritesTheSameAdapter()
    {
        var hashes = new List<string>();
        foreach (var (workers, threads) in new[] { (1, 1), (1, 2), (1, 3), (3, 1), (2, 2) })
        {
            var (exitCode, output, error) = await Workshop.Disttune(
                "train", workshop.RunFile, "--workers", $"{workers}", "--threads-per-worker", $"{threads}", "--output-dir", workshop.PathOf($"out-{workers}-{threads}"), "--json");
            Assert.True(exitCode == 0, error);
            using var summary = JsonDocument.Parse(output);
            Assert.Equal(workers, summary.RootElement.GetProperty("workers").GetInt32());
            hashes.Add(summary.RootElement.GetProperty("adapter_sha256").GetString()!);
        }

        Assert.Single(hashes.Distinct());
    }

    [Fact]
    public async Task Train_ARun_LeavesTheFilesThatItPromises()
    {
        var folder = workshop.PathOf("out-files");
        var (exitCode, output, error) = await Workshop.Disttune("train", workshop.RunFile, "--output-dir", folder);

        Assert.True(exitCode == 0, error);
        foreach (var name in new[] { "config.yaml", "plan.json", "metrics.jsonl", "samples.jsonl", "loss.svg", "summary.json", "adapter/adapter_config.json", "adapter/README.md" })
        {
            Assert.True(File.Exists(Path.Combine(folder, name)), $"{name} is missing.");
        }

        var weights = await File.ReadAllBytesAsync(Path.Combine(folder, "adapter/adapter_model.safetensors"), TestContext.Current.CancellationToken);
        Assert.Contains(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(weights)), output, StringComparison.Ordinal);
        Assert.Contains("Step 2/2", error, StringComparison.Ordinal);
        Assert.Contains("held-out loss", error, StringComparison.Ordinal);
        Assert.Contains("output_dir", await File.ReadAllTextAsync(Path.Combine(folder, "config.yaml"), TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Train_DryRun_ShowsThePlanAndWritesNothing()
    {
        var folder = workshop.PathOf("out-dry");
        var (exitCode, _, error) = await Workshop.Disttune("train", workshop.RunFile, "--dry-run", "--output-dir", folder);

        Assert.True(exitCode == 0, error);
        Assert.Contains("9 rows", error, StringComparison.Ordinal);
        Assert.Contains("3 rows held out", error, StringComparison.Ordinal);
        Assert.Contains("2 rows x 3 groups", error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder));
    }

    [Fact]
    public async Task Eval_TheTrainedAdapter_AgreesWithTheRun()
    {
        var folder = workshop.PathOf("out-eval");
        var trained = await Workshop.Disttune("train", workshop.RunFile, "--output-dir", folder, "--json");
        var evaluated = await Workshop.Disttune("eval", workshop.RunFile, "--output-dir", folder, "--json");

        Assert.True(evaluated.ExitCode == 0, evaluated.Error);
        using var summary = JsonDocument.Parse(trained.Output);
        using var report = JsonDocument.Parse(evaluated.Output);
        foreach (var name in new[] { "loss_before", "loss_after", "f1_before", "f1_after" })
        {
            Assert.Equal(summary.RootElement.GetProperty(name).GetDouble(), report.RootElement.GetProperty(name).GetDouble());
        }
    }

    [Fact]
    public async Task Eval_SeveralAdapters_SumsWhatTheyAddByTheirWeightsAndMeasuresEachAlone()
    {
        var folder = workshop.PathOf("out-eval-several");
        var trained = await Workshop.Disttune("train", workshop.RunFile, "--output-dir", folder, "--learning-rate", "0.1");
        Assert.True(trained.ExitCode == 0, trained.Error);
        var adapter = Path.Combine(folder, "adapter");
        async Task<JsonElement> Report(params string[] arguments)
        {
            var (exitCode, output, error) = await Workshop.Disttune(["eval", workshop.RunFile, "--output-dir", folder, "--json", .. arguments]);
            Assert.True(exitCode == 0, error);
            return JsonDocument.Parse(output).RootElement;
        }

        var (one, halves) = (await Report(), await Report("--adapter", $"{adapter}=0.75", "--adapter", $"{adapter}=0.25", "--each"));
        var most = await Report("--adapter", $"{adapter}=0.75");

        // Two products instead of one: rounding.
        Assert.Equal(one.GetProperty("loss_after").GetDouble(), halves.GetProperty("loss_after").GetDouble(), 1e-5);
        Assert.NotEqual(one.GetProperty("loss_after").GetDouble(), most.GetProperty("loss_after").GetDouble(), 1e-4);
        Assert.Equal(0, one.GetProperty("each").GetArrayLength());
        Assert.Equal([$"{adapter}=0.75", $"{adapter}=0.25"], halves.GetProperty("each").EnumerateArray().Select(each => each.GetProperty("adapter").GetString()));
        Assert.Equal(most.GetProperty("loss_after").GetDouble(), halves.GetProperty("each")[0].GetProperty("loss").GetDouble());
    }

    [Fact]
    public async Task Generate_APrompt_PrintsAnAnswerAndIsRepeatable()
    {
        string[] command = ["generate", "--model", workshop.PathOf("base"), "--prompt", "Arpa ne ister?", "--max-new-tokens", "6", "--temperature", "0.9"];
        var first = await Workshop.Disttune(command);
        var second = await Workshop.Disttune(command);

        Assert.True(first.ExitCode == 0, first.Error);
        Assert.Equal(first.Output, second.Output);
        Assert.EndsWith("\n", first.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Generate_SeveralAdapters_SumsWhatTheyAddByTheirWeights()
    {
        var folder = workshop.PathOf("out-several");
        var trained = await Workshop.Disttune("train", workshop.RunFile, "--output-dir", folder, "--learning-rate", "0.5");
        Assert.True(trained.ExitCode == 0, trained.Error);
        var adapter = Path.Combine(folder, "adapter");
        string[] command = ["generate", "--model", workshop.PathOf("base"), "--prompt", "Arpa ne ister?", "--max-new-tokens", "16", "--temperature", "4"];
        async Task<string> Answer(params string[] adapters)
        {
            var (exitCode, output, error) = await Workshop.Disttune([.. command, .. adapters.SelectMany(name => (string[])["--adapter", name])]);
            Assert.True(exitCode == 0, error);
            return output;
        }

        var (plain, one) = (await Answer(), await Answer(adapter));
        Assert.NotEqual(plain, one);
        Assert.Equal(one, await Answer($"{adapter}=0.5", $"{adapter}=0.5"));
        Assert.Equal(plain, await Answer($"{adapter}=1", $"{adapter}=-1"));
        Assert.Equal(2, (await Workshop.Disttune([.. command, "--adapter", $"{adapter}=much"])).ExitCode);
    }

    [Fact]
    public async Task Train_AnAdapterOfAnotherRank_IsRefusedBeforeTimeIsSpent()
    {
        var folder = workshop.PathOf("out-init");
        await Workshop.Disttune("train", workshop.RunFile, "--output-dir", folder);
        var (exitCode, _, error) = await Workshop.Disttune("train", workshop.RunFile, "--lora-r", "8", "--init-adapter", Path.Combine(folder, "adapter"), "--output-dir", workshop.PathOf("out-init-2"));

        Assert.Equal(2, exitCode);
        Assert.Contains("(r 4); the configuration", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Pretrain_TheSameRecipe_GivesTheSameBaseAndLog()
    {
        var again = workshop.PathOf("base-again");
        var (exitCode, _, error) = await Workshop.Disttune("pretrain", workshop.PathOf("recipe.yaml"), "--threads", "2", "--output-dir", again);

        Assert.True(exitCode == 0, error);
        foreach (var name in new[] { "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "pretrain.log" })
        {
            Assert.Equal(
                await File.ReadAllBytesAsync(workshop.PathOf($"base/{name}"), TestContext.Current.CancellationToken),
                await File.ReadAllBytesAsync(Path.Combine(again, name), TestContext.Current.CancellationToken));
        }
    }
}
