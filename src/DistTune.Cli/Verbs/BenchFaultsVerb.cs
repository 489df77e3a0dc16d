using System.CommandLine;
using System.Text.Json;
using DistTune.Cli.Benchmarking;
using DistTune.Core;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune bench faults</c>: what the loss of a process costs.</summary>
internal static class BenchFaultsVerb
{
    private const double MostWorkerSeconds = 2;
    private const int MostGroups = 1;
    private const double MostCoordinatorSeconds = 3;
    private const double MostShare = 0.03;
    private static readonly Option<int> Kills = new("--kills") { Description = "How often worker and coordinator are killed.", DefaultValueFactory = _ => 3, HelpName = "N" };
    private static readonly Option<int> Seconds = new("--seconds") { Description = "How long throughput is measured, with and without kills.", DefaultValueFactory = _ => 40, HelpName = "N" };
    private static readonly Option<int> Steps = new("--steps") { Description = "Steps over which the overhead is measured.", DefaultValueFactory = _ => 6, HelpName = "N" };
    private static readonly Option<bool> Json = new("--json") { Description = "One line of JSON on standard output." };

    public static Command Create()
    {
        var verb = new Verb(
            "faults",
            """
            Measures what faults cost: a base of random weights with a 10 M-parameter adapter is trained by processes on this machine,
            which are killed (kill -9). Prints, each with its target, the time until work goes on, the groups that are computed again, the
            share of a usual step that journal and checksums take, and the throughput that is left when one of four workers is killed
            every ten seconds.

            Examples:
              disttune bench faults
              disttune bench faults --kills 5 --seconds 60 --json
            """)
        {
            Kills, Seconds, Steps, Json,
        };
        verb.SetAction(RunAsync);
        return verb;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (kills, seconds, steps) = (parsed.GetValue(Kills), parsed.GetValue(Seconds), parsed.GetValue(Steps));
        if (kills < 1 || seconds < 1 || steps < 1)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"--kills, --seconds and --steps must be at least 1, got {kills}, {seconds} and {steps}."));
        }

        var error = parsed.InvocationConfiguration.Error;
        var overhead = await new OverheadBenchmark(steps, error).RunAsync(cancellationToken).ConfigureAwait(false);
        var numbers = await new FaultBenchmark(kills, TimeSpan.FromSeconds(seconds), error).RunAsync(cancellationToken).ConfigureAwait(false);
        Write(parsed.InvocationConfiguration.Output, parsed.GetValue(Json), numbers, overhead);
        return ExitCodes.Success;
    }

    private static void Write(TextWriter output, bool json, FaultNumbers numbers, OverheadNumbers overhead)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(new
            {
                parameters = numbers.Parameters,
                worker_recovery_seconds = numbers.WorkerSeconds,
                worker_recovery_met = numbers.WorkerSeconds.Max() < MostWorkerSeconds,
                groups_lost = numbers.GroupsLost,
                groups_lost_met = numbers.GroupsLost.Max() <= MostGroups,
                coordinator_recovery_seconds = numbers.CoordinatorSeconds,
                coordinator_recovery_met = numbers.CoordinatorSeconds.Max() < MostCoordinatorSeconds,
                overhead_run = overhead.Description,
                overhead_parameters = overhead.Parameters,
                overhead_step_seconds = overhead.StepSeconds,
                overhead_wait_seconds = overhead.WaitSeconds,
                overhead_verify_seconds = overhead.VerifySeconds,
                overhead_share_of_step = overhead.Share,
                overhead_met = overhead.Share < MostShare,
                streamed_checksum_seconds_per_step = overhead.StreamedSeconds,
                streamed_checksum_share_of_processors = overhead.StreamedShare,
                groups_per_second = numbers.GroupsPerSecond,
                groups_per_second_under_kills = numbers.GroupsPerSecondUnderKills,
                throughput_held = numbers.Held,
            }));
            return;
        }

        output.WriteLine(FormattableString.Invariant($"faults: {FaultRunShape.Small.Description}, {numbers.Parameters / 1e6:0.0} M trained, a step in {numbers.StepSeconds:0.00} s"));
        output.WriteLine(FormattableString.Invariant($"overhead: {overhead.Description}, {overhead.Parameters / 1e6:0.0} M trained, a step in {overhead.Step:0.00} s"));
        output.WriteLine();
        Row(output, "", $"measured", $"target", "");
        Row(output, "a worker is killed: until its groups are to be had, at worst", $"{numbers.WorkerSeconds.Max():0.00} s", $"< {MostWorkerSeconds:0} s", Met(numbers.WorkerSeconds.Max() < MostWorkerSeconds));
        Row(output, "  groups computed again, at most", $"{numbers.GroupsLost.Max()}", $"{MostGroups}", Met(numbers.GroupsLost.Max() <= MostGroups));
        Row(output, "the coordinator is killed: until the next one grants, at worst", $"{numbers.CoordinatorSeconds.Max():0.00} s", $"< {MostCoordinatorSeconds:0} s", Met(numbers.CoordinatorSeconds.Max() < MostCoordinatorSeconds));
        Row(output, "journal and checksums, of a step's critical path", $"{overhead.Share:0.0%}", $"< {MostShare:0%}", Met(overhead.Share < MostShare));
        Row(output, "  checksums made meanwhile, of all processors' time", $"{overhead.StreamedShare:0.0%}", $"", "");
        Row(output, "one of four workers killed every 10 s: throughput held", $"{numbers.Held:0%}", $"", "");
        output.WriteLine(FormattableString.Invariant($"  {numbers.GroupsPerSecondUnderKills:0.00} of {numbers.GroupsPerSecond:0.00} groups/s"));
    }

    private static string Met(bool met) => met ? "met" : "not met";

    private static void Row(TextWriter output, string what, FormattableString measured, FormattableString target, string met) =>
        output.WriteLine($"{what,-64}{FormattableString.Invariant(measured),10}  {FormattableString.Invariant(target),-8}{met}".TrimEnd());
}
