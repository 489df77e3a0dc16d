using System.CommandLine;
using System.Globalization;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Modeling.Merging;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune merge</c>: base and adapter become one model.</summary>
internal static class MergeVerb
{
    private static readonly Option<string> Base = new("--base") { Description = "Model folder that the adapter was trained on.", Required = true, HelpName = "DIR" };
    private static readonly Option<string[]> Adapters = AdapterArguments.Adapters();
    private static readonly Option<string> Output = new("--output") { Description = "New folder for the model.", Required = true, HelpName = "DIR" };
    private static readonly Option<bool> Verify = new("--verify") { Description = "Compare logits with base and adapter before the folder is published." };
    private static readonly Option<string> Combination = AdapterArguments.Combination();
    private static readonly Option<string> Type = new("--dtype") { Description = "Type of the weights.", DefaultValueFactory = _ => "base" };
    private static readonly Option<string> ShardSize = new("--max-shard-size") { Description = "Most bytes of a file.", DefaultValueFactory = _ => "5GB", HelpName = "SIZE" };

    public static Command Create()
    {
        Type.AcceptOnlyFromAmong("base", "f32", "bf16", "f16", "float32", "bfloat16", "float16");
        var command = new Verb(
            "merge",
            """
            Writes base and adapter as one Hugging Face model folder, merged in double precision, one weight in memory at a time.

            Examples:
              disttune merge --base ./model --adapter outputs/run/adapter --output ./merged --verify
              disttune merge --base ./model --adapter a=0.7 --adapter b=0.3 --output ./merged --dtype bf16
            """)
        {
            Base, Adapters, Output, Verify, Combination, Type, ShardSize,
        };
        command.SetAction(RunAsync);
        return command;
    }

    /// <summary>Reads a size such as <c>500MB</c> or <c>5GiB</c>.</summary>
    internal static long ParseSize(string text)
    {
        (string Suffix, long Factor)[] units =
        [
            ("GIB", 1L << 30), ("MIB", 1L << 20), ("KIB", 1L << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("B", 1), ("", 1),
        ];
        var (suffix, factor) = units.First(unit => text.EndsWith(unit.Suffix, StringComparison.OrdinalIgnoreCase));
        return double.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            && number * factor is >= 1 and <= long.MaxValue / 2
            ? (long)(number * factor)
            : throw new DistTuneException(FaultKind.Configuration, $"--max-shard-size must be a size such as 5GB or 500MB, got '{text}'.");
    }

    private static Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (baseFolder, output) = (parsed.GetRequiredValue(Base), parsed.GetRequiredValue(Output));
        var folders = parsed.GetRequiredValue(Adapters);
        var adapter = AdapterArguments.Load(folders, parsed.GetRequiredValue(Combination));
        var options = new MergeOptions
        {
            Type = parsed.GetValue(Type) switch
            {
                "f32" or "float32" => WeightType.Float32,
                "bf16" or "bfloat16" => WeightType.BFloat16,
                "f16" or "float16" => WeightType.Float16,
                _ => null,
            },
            MaxShardBytes = ParseSize(parsed.GetRequiredValue(ShardSize)),
        };
        var writer = parsed.InvocationConfiguration.Output;
        Action<string>? check = parsed.GetValue(Verify) ? merged => Check(baseFolder, adapter, folders, merged, writer) : null;
        var report = ModelMerge.Write(baseFolder, adapter, output, options, check, cancellationToken);
        Tell(report, output, check is not null, writer);
        return Task.FromResult(ExitCodes.Success);
    }

    private static void Check(string baseFolder, AdapterFolder adapter, string[] folders, string merged, TextWriter writer)
    {
        // What was combined is compared as the one adapter that it has become.
        var isSingle = folders is [var only] && adapter.Origin == only;
        var folder = isSingle ? folders[0] : Path.Combine(merged, "combined-adapter");
        if (!isSingle)
        {
            adapter.Save(folder);
        }

        var difference = MergeCheck.Compare(baseFolder, folder, merged);
        if (!isSingle)
        {
            Directory.Delete(folder, recursive: true);
        }

        var told = string.Create(
            CultureInfo.InvariantCulture,
            $"largest logit difference {difference.Largest:G3} over {difference.Positions} positions, {difference.Share:G3} of the largest logit; the bound is {difference.Bound:G3}");
        if (!difference.IsWithinBound)
        {
            throw new DistTuneException(FaultKind.Failed, $"The merged model is not the base with its adapter: {told}. Nothing was written. Merge with --dtype f32, or check that base and adapter belong together.");
        }

        writer.WriteLine($"Verified: {told}");
    }

    private static void Tell(MergeReport report, string output, bool verified, TextWriter writer)
    {
        writer.WriteLine(report.Dequantised
            ? "Merged, in double precision, into what the base's quantised weights stand for: the base that an adapter over four bits was trained on."
            : "Merged into the base's own weights, in double precision.");
        if (report.HeadUntied)
        {
            writer.WriteLine("The output head was the embedding and is a weight of its own now.");
        }

        writer.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"Wrote {Path.GetFullPath(output)}: {report.Weights} weights, {report.Changed} of them changed, {report.SizeBytes / 1e6:F1} MB in {report.Files} file{(report.Files == 1 ? "" : "s")}{(verified ? "" : "; not verified (--verify)")}"));
    }
}
