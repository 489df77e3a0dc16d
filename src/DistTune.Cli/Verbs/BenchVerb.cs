using System.CommandLine;
using System.Text.Json;
using DistTune.Cli.Benchmarking;
using DistTune.Cli.Running;
using DistTune.Core;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune bench</c>: how fast this machine trains, against what it could and against an eager PyTorch loop.</summary>
internal static class BenchVerb
{
    // Forward and the gradient of the inputs, two FLOPs a parameter each; a frozen weight has no gradient of its own.
    private const double FlopsPerParameter = 4;
    private const double BytesPerGigabyte = 1L << 30;

    private static readonly Option<string?> Config = new("--config") { Description = "config.json of the model; SmolLM2-135M's shape by default.", HelpName = "FILE" };
    private static readonly Option<string?> Rows = new("--rows") { Description = "JSON Lines with input_ids and labels; noise by default.", HelpName = "FILE" };
    private static readonly Option<int> Batch = new("--batch") { Description = "Rows of a step.", DefaultValueFactory = _ => 4, HelpName = "N" };
    private static readonly Option<int> Sequence = new("--seq") { Description = "Tokens of a row.", DefaultValueFactory = _ => 256, HelpName = "N" };
    private static readonly Option<int> Steps = new("--steps") { Description = "Steps that count, after two to warm up.", DefaultValueFactory = _ => 8, HelpName = "N" };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads, ours and the peer's.", DefaultValueFactory = _ => Environment.ProcessorCount, HelpName = "N" };
    private static readonly Option<int> Rank = new("--rank") { Description = "LoRA rank.", DefaultValueFactory = _ => 8, HelpName = "N" };
    private static readonly Option<bool> Checkpointing = new("--checkpoint") { Description = "Recompute layers in backward, ours and the peer's." };
    private static readonly Option<bool> Alone = new("--alone") { Description = "Leave the peer out." };
    private static readonly Option<bool> Json = new("--json") { Description = "One line of JSON on standard output." };

    public static Command Create()
    {
        var train = new Verb(
            "train",
            """
            Measures LoRA training: tokens/s, share of the measured matrix-multiply peak, peak memory, and the ratio to an eager PyTorch
            loop over the same model and batch, run right after (DISTTUNE_EAGER_SCRIPT names another script with the same options).

            Examples:
              disttune bench train
              disttune bench train --config model/config.json --batch 4 --seq 256 --steps 8 --json
            """)
        {
            Config, Rows, Batch, Sequence, Steps, Threads, Rank, Checkpointing, Alone, Json,
        };
        train.SetAction(RunAsync);
        return new Command("bench", "Measures this machine.") { train, BenchFaultsVerb.Create() };
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var options = new BenchmarkOptions(
            parsed.GetValue(Batch), parsed.GetValue(Sequence), parsed.GetValue(Steps), parsed.GetValue(Threads), parsed.GetValue(Rank), parsed.GetValue(Rows), parsed.GetValue(Checkpointing));
        if (options is not { Batch: >= 1, Sequence: >= 2, Steps: >= 1, Threads: >= 1, Rank: >= 1 })
        {
            throw new DistTuneException(FaultKind.Configuration, "--batch, --steps, --threads and --rank must be at least 1, and --seq at least 2.");
        }

        var (config, spec) = BenchmarkShape.Read(parsed.GetValue(Config));
        var error = parsed.InvocationConfiguration.Error;
        error.WriteLine("measuring the matrix-multiply peak");
        var peak = MatrixPeak.Measure(spec.HiddenSize, spec.IntermediateSize, options.Threads);
        error.WriteLine("training");
        var speed = await TrainingBenchmark.RunAsync(spec, options, cancellationToken).ConfigureAwait(false);
        var memory = PeakMemory.OfThisProcess();
        var (peer, whyNot) = ((PeerResult?)null, (string?)"left out (--alone)");
        if (!parsed.GetValue(Alone))
        {
            error.WriteLine(FormattableString.Invariant($"{speed.TokensPerSecond:0} tokens/s; running the eager PyTorch loop"));
            (peer, whyNot) = await EagerPeer.RunAsync(options, config, cancellationToken).ConfigureAwait(false);
        }

        var share = FlopsPerParameter * BenchmarkShape.MultipliedParameters(spec) * speed.TokensPerSecond / peak;
        Write(parsed.InvocationConfiguration.Output, parsed.GetValue(Json), speed, peak, share, memory, peer, whyNot);
        return ExitCodes.Success;
    }

    private static void Write(TextWriter output, bool json, TrainingSpeed speed, double peak, double share, long memory, PeerResult? peer, string? whyNot)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(new
            {
                tokens_per_second = speed.TokensPerSecond,
                trained_tokens_per_second = speed.TrainedTokensPerSecond,
                best_tokens_per_second = speed.BestTokensPerSecond,
                gemm_gflops = peak / 1e9,
                share_of_gemm = share,
                peak_memory_bytes = memory,
                eager_tokens_per_second = peer?.TokensPerSecond,
                eager_peak_memory_bytes = peer is null ? (long?)null : (long)(peer.PeakGigabytes * BytesPerGigabyte),
                eager_torch = peer?.Torch,
                ratio_to_eager = peer is null ? (double?)null : speed.TokensPerSecond / peer.TokensPerSecond,
                why_no_eager = whyNot,
            }));
            return;
        }

        output.WriteLine(FormattableString.Invariant($"tokens/s       {speed.TokensPerSecond:0} ({speed.TrainedTokensPerSecond:0} trained; best step {speed.BestTokensPerSecond:0})"));
        output.WriteLine(FormattableString.Invariant($"of GEMM peak   {share:0.0%} of {peak / 1e9:0} GFLOPS"));
        output.WriteLine(FormattableString.Invariant($"peak memory    {memory / BytesPerGigabyte:0.00} GiB"));
        output.WriteLine(peer is null
            ? $"eager PyTorch  not run: {whyNot}"
            : FormattableString.Invariant($"eager PyTorch  {peer.TokensPerSecond:0} tokens/s, {peer.PeakGigabytes:0.00} GiB (torch {peer.Torch}): we are {speed.TokensPerSecond / peer.TokensPerSecond:0.00} times as fast"));
    }
}
