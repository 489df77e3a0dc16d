using System.Globalization;
using System.Text.Json;

namespace DistTune.Cluster.Tests;

/// <summary>Coordinator and workers as processes over a real base: step by step what transformers and PEFT come to.</summary>
public sealed class RealModelTests
{
    private const string Variable = "DISTTUNE_THIRDPARTY";
    private const string Token = "token-of-the-real-model";
    private const int TrainingRows = 18;

    // The goldens' README.
    private const double LossTolerance = 1e-4;
    private const double GradientNormTolerance = 5e-4;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(9);

    [Fact]
    [Trait("Tier", "All")]
    public async Task A_real_model_trains_on_two_workers_as_the_reference_does()
    {
        var folder = Directory.CreateTempSubdirectory("disttune-real-");
        try
        {
            var weights = Base();
            var golden = GoldenFolder();
            Prepare(folder.FullName, golden, weights);
            await RunAsync(Path.Combine(folder.FullName, "run.yaml"));
            Compare(Lines(Path.Combine(folder.FullName, "out", "metrics.jsonl")), Path.Combine(golden, "lora"));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task RunAsync(string config)
    {
        var port = LocalCluster.FreePort().ToString(CultureInfo.InvariantCulture);
        await using var coordinator = new ServiceProcess("DistTune.Coordinator", [config], new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_HTTP_PORT"] = "0",
            ["DISTTUNE_GRPC_PORT"] = port,
        });
        await using var first = StartWorker(port, 0);
        await using var second = StartWorker(port, 1);
        Assert.True(await coordinator.ExitCodeAsync(Patience) == 0, coordinator.Output);
        Assert.True(await first.ExitCodeAsync() == 0, first.Output);
        Assert.True(await second.ExitCodeAsync() == 0, second.Output);
        Assert.Contains("worker-0 joined", coordinator.Output, StringComparison.Ordinal);
        Assert.Contains("worker-1 joined", coordinator.Output, StringComparison.Ordinal);
    }

    private static ServiceProcess StartWorker(string port, int rank) => new("DistTune.Worker", [], new Dictionary<string, string>
    {
        ["DISTTUNE_TOKEN"] = Token,
        ["DISTTUNE_COORDINATOR"] = $"http://127.0.0.1:{port}",
        ["DISTTUNE_WORKER_RANK"] = rank.ToString(CultureInfo.InvariantCulture),
        ["DISTTUNE_THREADS"] = "1",
        ["OMP_NUM_THREADS"] = "1",
        ["OPENBLAS_NUM_THREADS"] = "1",
    });

    /// <summary>The reference's steps go round the rows without regard to epochs, so the rows are written out in the order of their use.</summary>
    private static void Prepare(string folder, string golden, string model)
    {
        var rows = File.ReadAllLines(Path.Combine(golden, "rows.jsonl"));
        var steps = Lines(Path.Combine(golden, "lora", "steps.jsonl")).Count;
        File.WriteAllLines(Path.Combine(folder, "rows.jsonl"), Enumerable.Range(0, 4 * steps).Select(index => rows[index % TrainingRows]));
        File.WriteAllLines(Path.Combine(folder, "held-out.jsonl"), rows.Skip(TrainingRows));
        File.WriteAllText(Path.Combine(folder, "run.yaml"), $$"""
            base_model: {{model}}
            init_adapter: {{Path.Combine(golden, "lora", "adapter_init")}}
            init_adapter_strict: false     # it holds the A's alone: the B's start at zero
            lora_r: 8
            lora_alpha: 16
            lora_target_modules: all-linear
            datasets: [{path: rows.jsonl, type: alpaca}]
            eval_datasets: [{path: held-out.jsonl, type: alpaca}]
            shuffle: false
            micro_batch_size: 1
            gradient_accumulation_steps: 4
            num_epochs: 1
            learning_rate: 2e-4
            lr_scheduler: linear
            warmup_ratio: 0
            max_grad_norm: 1.0
            bf16: false
            generate_samples: false
            eval_samples: 0
            output_dir: out
            """);
    }

    private static void Compare(List<JsonElement> metrics, string golden)
    {
        var expected = Lines(Path.Combine(golden, "steps.jsonl"));
        var steps = metrics.Where(line => line.GetProperty("event").GetString() == "step").ToList();
        Assert.Equal(expected.Count, steps.Count);
        var (lossError, normError) = (0.0, 0.0);
        foreach (var (row, step) in expected.Zip(steps))
        {
            Assert.Equal(row.GetProperty("valid_tokens").GetInt64(), step.GetProperty("trained_tokens").GetInt64());
            Assert.Equal(Number(row, "lr"), Number(step, "learning_rate"), 1e-12);
            lossError = Math.Max(lossError, Math.Abs(Number(row, "loss") - Number(step, "loss")));
            normError = Math.Max(normError, Math.Abs(Number(row, "grad_norm") - Number(step, "grad_norm")) / Number(row, "grad_norm"));
        }

        using var final = JsonDocument.Parse(File.ReadAllText(Path.Combine(golden, "final.json")));
        var evaluations = metrics.Where(line => line.GetProperty("event").GetString() == "measurement").Select(line => Number(line, "eval_loss")).ToList();
        var before = Math.Abs(evaluations[0] - Number(final.RootElement.GetProperty("eval_before"), "nll"));
        var after = Math.Abs(evaluations[^1] - Number(final.RootElement.GetProperty("eval_after"), "nll"));
        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"largest errors: loss {lossError:E2}, gradient norm {normError:E2}, evaluation before {before:E2}, after {after:E2}"));
        Assert.InRange(lossError, 0, LossTolerance);
        Assert.InRange(normError, 0, GradientNormTolerance);
        Assert.InRange(before, 0, LossTolerance);
        Assert.InRange(after, 0, LossTolerance);
    }

    private static double Number(JsonElement element, string name) => element.GetProperty(name).GetDouble();

    private static List<JsonElement> Lines(string path) => [.. File.ReadLines(path).Where(line => line.Length > 0).Select(line => JsonElement.Parse(line))];

    private static string Base()
    {
        var root = Environment.GetEnvironmentVariable(Variable);
        var file = string.IsNullOrEmpty(root) || !Directory.Exists(root)
            ? null
            : Directory.EnumerateFiles(root, "SmolLM2-135M-Instruct*.gguf", SearchOption.AllDirectories).Order(StringComparer.Ordinal).FirstOrDefault();
        Assert.SkipWhen(file is null, $"{Variable} names no folder that holds SmolLM2-135M-Instruct as GGUF.");
        return file!;
    }

    // The reference of a real model lies beside the real weights: neither belongs in a clone.
    private static string GoldenFolder()
    {
        var folder = Path.Combine(Environment.GetEnvironmentVariable(Variable)!, "..", "golden", "smollm2");
        Assert.SkipUnless(Directory.Exists(folder), $"There is no folder golden/smollm2 beside the one that {Variable} names.");
        return folder;
    }
}
