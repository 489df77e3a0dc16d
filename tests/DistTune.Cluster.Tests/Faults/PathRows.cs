using System.Diagnostics;
using System.Text.Json;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>
/// Rows of the fault table about paths. A user's own may lead anywhere to regular files; names and links of foreign files stay within
/// their folder; what is no file or folder is refused wherever it stands, and nothing waits for it.
/// </summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class PathRows
{
    private const int Refused = 2;
    private const string Weights = "model.safetensors";

    /// <summary>What stands where, and a part of the answer.</summary>
    public static TheoryData<string, string> Paths => new()
    {
        { "pipe as data", "it is a device, a pipe or a socket" },
        { "link to a device as data", "it is a device, a pipe or a socket" },
        { "folder as data", "it is a folder" },
        { "pipe as configuration", "it is a device, a pipe or a socket" },
        { "link to a device as configuration", "it is a device, a pipe or a socket" },
        { "pipe as tokenizer", "it is a device, a pipe or a socket" },
        { "link to a device as weights", "it is a device, a pipe or a socket" },
        { "URL as base", "Addresses are not fetched" },
        { "URL as output_dir", "Addresses are not fetched" },
        { "../ in a shard index", "plain file name" },
        { "absolute path in a shard index", "plain file name" },
        { "URL in a shard index", "plain file name" },
        { "link out of its folder as a shard", "a link out of its folder" },
        { "link to a device as a shard", "a link out of its folder" },
        { "link to a device as output_dir", "cannot be written" },
        { "pipe as output_dir", "cannot be written" },
        { "link to a device as journal", "it is a device, a pipe or a socket" },
        { "pipe as lock", "it is a device, a pipe or a socket" },
        { "device as token file", "it is a device, a pipe or a socket" },
        { "device as certificate", "it is a device, a pipe or a socket" },
    };

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task Hostile_path(string inject, string answer)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Devices, pipes and links as Linux has them.");
        await using var cluster = new FaultCluster();
        var folder = Path.GetDirectoryName(cluster.Run.ConfigPath)!;
        await PlaceAsync(inject, folder, cluster.Folder);
        Dictionary<string, string> environment = inject switch
        {
            "device as token file" => new() { ["DISTTUNE_ADMIN_TOKEN_FILE"] = "/dev/zero" },
            "device as certificate" => new() { ["DISTTUNE_TLS_CA"] = "/dev/zero" },
            _ => [],
        };

        var coordinator = cluster.StartCoordinatorWith(environment);
        Assert.True(await coordinator.ExitCodeAsync(TimeSpan.FromMinutes(2)) == Refused, coordinator.Output);

        Assert.Contains(answer, coordinator.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", coordinator.Output, StringComparison.Ordinal);
        TableRow.Held(inject, $"exit 2: {coordinator.Output.Split('\n', 2)[0].Replace(folder + "/", string.Empty, StringComparison.Ordinal).Trim()}");
    }

    [Fact]
    public async Task A_users_own_paths_may_lead_anywhere()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Links as Linux has them.");
        await using var cluster = new FaultCluster();
        var folder = Path.GetDirectoryName(cluster.Run.ConfigPath)!;
        var rows = Path.Combine(folder, "rows.jsonl");
        var elsewhere = Directory.CreateDirectory(Path.Combine(folder, "elsewhere")).FullName;
        File.Move(rows, Path.Combine(elsewhere, "rows.jsonl"));
        File.CreateSymbolicLink(rows, Path.Combine("elsewhere", "rows.jsonl"));
        Directory.Move(Path.Combine(folder, "base"), Path.Combine(elsewhere, "base"));
        Directory.CreateSymbolicLink(Path.Combine(folder, "base"), Path.Combine(elsewhere, "base"));
        var coordinator = cluster.StartCoordinator(
            "--set", $"base_model={Path.Combine(folder, "base")}", "--set", FormattableString.Invariant($"output_dir={Path.Combine(folder, "elsewhere", "..", "out")}"));
        cluster.StartWorker(0);

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        TableRow.Held("../, absolute paths and links in the user's own configuration", "followed: they are the user's own; same SHA-256");
    }

    private static async Task PlaceAsync(string inject, string folder, string output)
    {
        var (rows, config, model) = (Path.Combine(folder, "rows.jsonl"), Path.Combine(folder, "run.yaml"), Path.Combine(folder, "base"));
        switch (inject)
        {
            case "pipe as data":
                await PipeAsync(rows);
                break;
            case "link to a device as data":
                Link(rows, "/dev/zero");
                break;
            case "folder as data":
                File.Delete(rows);
                Directory.CreateDirectory(rows);
                break;
            case "pipe as configuration":
                await PipeAsync(config);
                break;
            case "link to a device as configuration":
                Link(config, "/dev/zero");
                break;
            case "pipe as tokenizer":
                await PipeAsync(Path.Combine(model, "tokenizer.json"));
                break;
            case "link to a device as weights":
                Link(Path.Combine(model, Weights), "/dev/zero");
                break;
            case "URL as base":
                await ReplaceAsync(config, "base_model: base", "base_model: \"https://example.org/model\"");
                break;
            case "URL as output_dir":
                await ReplaceAsync(config, "output_dir: out", "output_dir: \"file:///tmp/out\"");
                break;
            case "../ in a shard index":
                File.Move(Path.Combine(model, Weights), Path.Combine(folder, Weights));
                await WriteIndexAsync(model, Path.Combine(folder, Weights), "../" + Weights);
                break;
            case "absolute path in a shard index":
                File.Move(Path.Combine(model, Weights), Path.Combine(folder, Weights));
                await WriteIndexAsync(model, Path.Combine(folder, Weights), Path.Combine(folder, Weights));
                break;
            case "URL in a shard index":
                File.Move(Path.Combine(model, Weights), Path.Combine(folder, Weights));
                await WriteIndexAsync(model, Path.Combine(folder, Weights), "https://example.org/" + Weights);
                break;
            case "link out of its folder as a shard":
                File.Move(Path.Combine(model, Weights), Path.Combine(folder, Weights));
                await WriteIndexAsync(model, Path.Combine(folder, Weights), "shard.safetensors");
                File.CreateSymbolicLink(Path.Combine(model, "shard.safetensors"), Path.Combine("..", Weights));
                break;
            case "link to a device as a shard":
                File.Move(Path.Combine(model, Weights), Path.Combine(folder, Weights));
                await WriteIndexAsync(model, Path.Combine(folder, Weights), "shard.safetensors");
                File.CreateSymbolicLink(Path.Combine(model, "shard.safetensors"), "/dev/zero");
                break;
            case "link to a device as output_dir":
                File.CreateSymbolicLink(output, "/dev/zero");
                break;
            case "pipe as output_dir":
                await PipeAsync(output);
                break;
            case "link to a device as journal":
                Directory.CreateDirectory(output);
                File.CreateSymbolicLink(Path.Combine(output, "journal.log"), "/dev/zero");
                break;
            case "pipe as lock":
                Directory.CreateDirectory(output);
                await PipeAsync(Path.Combine(output, "lock"));
                break;
        }
    }

    // An index that is right in all but where the shard is.
    private static async Task WriteIndexAsync(string model, string weights, string shard)
    {
        using var file = Core.Formats.SafetensorsFile.Open(weights);
        var index = new { metadata = new { total_size = 0 }, weight_map = file.Weights.ToDictionary(weight => weight.Name, _ => shard, StringComparer.Ordinal) };
        await File.WriteAllTextAsync(Path.Combine(model, "model.safetensors.index.json"), JsonSerializer.Serialize(index), TestContext.Current.CancellationToken);
    }

    private static void Link(string path, string target)
    {
        File.Delete(path);
        File.CreateSymbolicLink(path, target);
    }

    private static async Task PipeAsync(string path)
    {
        File.Delete(path);
        using var make = Process.Start("mkfifo", [path]);
        await make.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, make.ExitCode);
    }

    private static async Task ReplaceAsync(string path, string from, string to)
    {
        var text = await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);
        Assert.Contains(from, text, StringComparison.Ordinal);
        await File.WriteAllTextAsync(path, text.Replace(from, to, StringComparison.Ordinal), TestContext.Current.CancellationToken);
    }
}
