namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about what a coordinator is given: refused before anything is computed, with exit 2 and the place.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class InputRows
{
    private const int Refused = 2;

    /// <summary>What is done to the folder of a run, and a part of the answer.</summary>
    public static TheoryData<string, string> Inputs => new()
    {
        { "truncated JSONL", "rows.jsonl:25" },
        { "invalid UTF-8", "rows.jsonl:25" },
        { "device file as data", "/dev/zero" },
        { "data of 10 GB without an end of line", "rows.jsonl:1: the line is longer" },
        { "tokenizer of 500 MB", "tokenizer.json' has 524288000 bytes" },
        { "YAML aliases that grow without end", "anchors (&name) and tags (!name) are not supported" },
        { "JSON nested without end", "rows.jsonl:25" },
        { "URL as data", "https://example.org/rows.jsonl" },
        { "tokenizer of another model", "tokenizer" },
        { "pickle instead of safetensors", "pytorch_model.bin" },
        { "truncated safetensors", "model.safetensors" },
    };

    [Theory]
    [MemberData(nameof(Inputs))]
    public async Task Hostile_input(string inject, string answer)
    {
        await using var cluster = new FaultCluster();
        var folder = Path.GetDirectoryName(cluster.Run.ConfigPath)!;
        await SpoilAsync(inject, folder);

        var coordinator = cluster.StartCoordinator();
        Assert.True(await coordinator.ExitCodeAsync(TimeSpan.FromMinutes(1)) == Refused, coordinator.Output);

        Assert.Contains(answer, coordinator.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", coordinator.Output, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(cluster.Folder, "adapter")));
        TableRow.Held(inject, $"exit 2 before step 0: {FirstLine(coordinator.Output, folder)}");
    }

    [Theory]
    [InlineData("data")]
    [InlineData("base")]
    public async Task Edited_in_mid_run(string what)
    {
        await using var cluster = new FaultCluster();
        var (coordinator, _) = cluster.Start(1);
        await coordinator.PrintsAsync("Step 3/");
        await coordinator.SignalAsync("KILL");
        await coordinator.ExitCodeAsync();
        var folder = Path.GetDirectoryName(cluster.Run.ConfigPath)!;
        var file = what == "data" ? Path.Combine(folder, "rows.jsonl") : Path.Combine(folder, "base", "model.safetensors");
        var content = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
        var edited = (byte[])content.Clone();
        edited[what == "data" ? Array.IndexOf(edited, (byte)'w') : edited.Length - 7] ^= 1;
        await File.WriteAllBytesAsync(file, edited, TestContext.Current.CancellationToken);

        var refusing = cluster.StartCoordinator();
        Assert.True(await refusing.ExitCodeAsync() == Refused, refusing.Output);
        await File.WriteAllBytesAsync(file, content, TestContext.Current.CancellationToken);

        await cluster.EndsWithTheSameAdapterAsync(cluster.StartCoordinator());
        TableRow.Held($"{what} edited in mid-run", $"refuses to go on: {FirstLine(refusing.Output, folder)} Restored, same SHA-256");
    }

    private static async Task SpoilAsync(string inject, string folder)
    {
        var (rows, config, weights) = (Path.Combine(folder, "rows.jsonl"), Path.Combine(folder, "run.yaml"), Path.Combine(folder, "base", "model.safetensors"));
        var cancellationToken = TestContext.Current.CancellationToken;
        switch (inject)
        {
            case "truncated JSONL":
                await File.AppendAllTextAsync(rows, """{"instruction": "the wheat", "outp""", cancellationToken);
                break;
            case "invalid UTF-8":
                await File.AppendAllBytesAsync(rows, [.. """{"instruction": "a", "output": " """u8, 0xC3, 0x28, .. "\"}\n"u8], cancellationToken);
                break;
            case "device file as data":
                await ReplaceAsync(config, "path: rows.jsonl", "path: /dev/zero", cancellationToken);
                break;
            case "data of 10 GB without an end of line":
                SetLength(rows, 10L << 30, from: 0);
                break;
            case "tokenizer of 500 MB":
                SetLength(Path.Combine(folder, "base", "tokenizer.json"), 500L << 20);
                break;
            case "YAML aliases that grow without end":
                await File.WriteAllTextAsync(config, "a: &a [x, x]\n" + string.Concat(Enumerable.Range('b', 20).Select(name => $"{(char)name}: &{(char)name} [*{(char)(name - 1)}, *{(char)(name - 1)}]\n")), cancellationToken);
                break;
            case "JSON nested without end":
                await File.AppendAllTextAsync(rows, string.Concat(Enumerable.Repeat("{\"output\":", 3 << 20)) + "\n", cancellationToken);
                break;
            case "URL as data":
                await ReplaceAsync(config, "path: rows.jsonl", "path: \"https://example.org/rows.jsonl\"", cancellationToken);
                break;
            case "tokenizer of another model":
                // Of more tokens than the base has embeddings for.
                const string Added = "\"added_tokens\": [";
                const string Foreign = """{"id": 5000, "content": "wheat", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false},""";
                await ReplaceAsync(Path.Combine(folder, "base", "tokenizer.json"), Added, Added + Foreign, cancellationToken);
                break;
            case "pickle instead of safetensors":
                File.Move(weights, Path.Combine(folder, "base", "pytorch_model.bin"));
                break;
            default:
                SetLength(weights, new FileInfo(weights).Length / 2);
                break;
        }
    }

    // What is added takes no room on the disk.
    private static void SetLength(string path, long length, long? from = null)
    {
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        if (from is { } kept)
        {
            RandomAccess.SetLength(file, kept);
        }

        RandomAccess.SetLength(file, length);
    }

    private static async Task ReplaceAsync(string path, string from, string to, CancellationToken cancellationToken)
    {
        var text = await File.ReadAllTextAsync(path, cancellationToken);
        Assert.Contains(from, text, StringComparison.Ordinal);
        await File.WriteAllTextAsync(path, text.Replace(from, to, StringComparison.Ordinal), cancellationToken);
    }

    private static string FirstLine(string output, string folder) => output.Split('\n', 2)[0].Replace(folder + "/", string.Empty, StringComparison.Ordinal).Trim();
}
