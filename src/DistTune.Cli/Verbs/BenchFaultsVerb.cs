using System.CommandLine;
using System.Text.Json;
using DistTune.Cli.Benchmarking;
using DistTune.Core;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune bench faults</c>: what the loss of a process costs.</summary>
internal static class BenchFaultsVerb
{
    private static readonly Option<int> Kills = new("--kills") { Description = "How often worker and coordinator are killed.", DefaultValueFactory = _ => 3, HelpName = "N" };
    private static readonly Option<int> Seconds = new("--seconds") { Description = "How long throughput is measured, with and without kills.", DefaultValueFactory = _ => 40, HelpName = "N" };
    private static readonly Option<bool> Json = new("--json") { Description = "One line of JSON on standard output." };

    public static Command Create()
    {
        var verb = new Verb(
            "faults",
            """
            Measures what faults cost: a base of random weights with a 10 M-parameter adapter is trained by processes on this machine,
            which are killed (kill -9). Prints the time until work goes on, the groups that are computed again, the share of a step that
            checksums and flushed writes take, and the throughput that is left when one of four workers is killed every ten seconds.

            Examples:
              disttune bench faults
              disttune bench faults --kills 5 --seconds 60 --json
            """)
        {
            Kills, Seconds, Json,
        };
        verb.SetAction(RunAsync);
        return verb;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (kills, seconds) = (parsed.GetValue(Kills), parsed.GetValue(Seconds));
        if (kills < 1 || seconds < 1)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"--kills and --seconds must be at least 1, got {kills} and {seconds}."));
        }

        var numbers = await new FaultBenchmark(kills, TimeSpan.FromSeconds(seconds), parsed.InvocationConfiguration.Error).RunAsync(cancellationToken).ConfigureAwait(false);
        Write(parsed.InvocationConfiguration.Output, parsed.GetValue(Json), numbers);
        return ExitCodes.Success;
    }

    private static void Write(TextWriter output, bool json, FaultNumbers numbers)
    {
        var held = numbers.GroupsPerSecondUnderKills / numbers.GroupsPerSecond;
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(new
            {
                parameters = numbers.Parameters,
                worker_recovery_seconds = numbers.WorkerSeconds,
                groups_lost = numbers.GroupsLost,
                coordinator_recovery_seconds = numbers.CoordinatorSeconds,
                step_seconds = numbers.StepSeconds,
                checksum_seconds_per_step = numbers.Durability.ChecksumSeconds,
                write_seconds_per_step = numbers.Durability.WriteSeconds,
                durability_share_of_step = numbers.DurabilityShare,
                groups_per_second = numbers.GroupsPerSecond,
                groups_per_second_under_kills = numbers.GroupsPerSecondUnderKills,
                throughput_held = held,
            }));
            return;
        }

        output.WriteLine(FormattableString.Invariant($"adapter              {numbers.Parameters / 1e6:0.0} M parameters, a step in {numbers.StepSeconds:0.00} s"));
        output.WriteLine(FormattableString.Invariant($"a worker killed      {numbers.WorkerSeconds.Max():0.00} s at worst until its groups are to be had again; at most {numbers.GroupsLost.Max()} lost"));
        output.WriteLine(FormattableString.Invariant($"coordinator killed   {numbers.CoordinatorSeconds.Max():0.00} s at worst until a worker has joined the next one"));
        output.WriteLine(FormattableString.Invariant($"checksums, journal   {numbers.Durability.ChecksumSeconds:0.000} + {numbers.Durability.WriteSeconds:0.000} s, {numbers.DurabilityShare:0.0%} of a step if nothing overlaps"));
        output.WriteLine(FormattableString.Invariant($"1 of 4 killed/10 s   {numbers.GroupsPerSecondUnderKills:0.00} of {numbers.GroupsPerSecond:0.00} groups/s: {held:0%} held"));
    }
}
