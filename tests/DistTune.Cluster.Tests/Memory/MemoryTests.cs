using System.Globalization;
using DistTune.Core.Configuration;
using DistTune.Core.Memory;
using DistTune.Core.Planning;

namespace DistTune.Cluster.Tests.Memory;

/// <summary>What coordinator and worker hold at most, each a process of its own, against what is predicted before they start.</summary>
public sealed class MemoryTests
{
    private const double Tolerance = 0.10;
    private const string Token = "token-of-the-memory-tests";

    [Theory]
    [Trait("Tier", "All")]
    [InlineData("fp32", "llama", false, 1, "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("fp32, two lanes", "llama", false, 2, "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("bf16", "llama", true, 1, "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("four bits, made first", "llama", false, 1, "adapter: qlora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("four bits, two lanes", "llama", false, 2, "adapter: qlora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("all tapes", "llama", false, 1, "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false;gradient_checkpointing: false")]
    [InlineData("DoRA", "llama", false, 1, "adapter: dora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("dropout", "llama", false, 1, "adapter: lora;lora_dropout: 0.1;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("soft caps", "gemma2", false, 1, "adapter: lora;sequence_len: 512;micro_batch_size: 2;generate_samples: false")]
    [InlineData("a saved module", "llama", false, 1, "adapter: lora;modules_to_save: [lm_head];sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("long rows", "llama", false, 1, "adapter: lora;sequence_len: 1024;micro_batch_size: 1;generate_samples: false")]
    [InlineData("long rows, four bits, two lanes", "llama", false, 2, "adapter: qlora;sequence_len: 1024;micro_batch_size: 1;generate_samples: false")]
    [InlineData("answers", "llama", false, 1, "adapter: lora;sequence_len: 512;micro_batch_size: 1;val_set_size: 4;max_new_tokens: 64")]
    [InlineData("all weights", "llama", false, 1, "adapter: full;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    public async Task The_peaks_of_worker_and_coordinator_are_predicted_within_a_tenth(string name, string family, bool bfloat16, int lanes, string lines)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The peak of resident memory is read from /proc.");
        var cancellation = TestContext.Current.CancellationToken;
        using var run = new MemoryRun(family, bfloat16, lines);
        var planned = await RunPlanner.CreateAsync(RunConfigLoader.Load(run.ConfigPath, []), bfloat16ByDefault: false, cancellation);
        var question = MemoryQuestion.Of(planned.Spec, planned.Plan, workers: 1, lanes, withCoordinator: true);

        var port = LocalCluster.FreePort().ToString(CultureInfo.InvariantCulture);
        await using var coordinator = new MeasuredProcess("DistTune.Coordinator", [run.ConfigPath], new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_HTTP_PORT"] = "0",
            ["DISTTUNE_GRPC_PORT"] = port,
        });
        await using var worker = new MeasuredProcess("DistTune.Worker", [], new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_COORDINATOR"] = $"http://127.0.0.1:{port}",
            ["DISTTUNE_CACHE"] = run.CacheFolder,
            ["DISTTUNE_THREADS"] = lanes.ToString(CultureInfo.InvariantCulture),
            ["OMP_NUM_THREADS"] = "1",
            ["OPENBLAS_NUM_THREADS"] = "1",
        });
        var peaks = await Task.WhenAll(worker.PeakAsync(cancellation), coordinator.PeakAsync(cancellation));

        double[] shares = [Share($"{name}, worker", peaks[0], question.OfWorker), Share($"{name}, coordinator", peaks[1], question.OfCoordinator)];
        Assert.All(shares, share => Assert.InRange(share, 1 - Tolerance, 1 + Tolerance));
    }

    private static double Share(string name, long measured, MemoryQuestion question)
    {
        var predicted = MemoryPredictor.Predict(question);
        var share = (double)measured / predicted.Bytes;
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant(
            $"{name}: measured {measured >> 20} MiB, predicted {predicted.Bytes >> 20} MiB, {share:0.000} ({string.Join(", ", predicted.Parts.Select(part => $"{part.Name} {part.Bytes >> 20}"))})"));
        return share;
    }
}
