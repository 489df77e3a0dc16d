using System.CommandLine;
using DistTune.Core;
using DistTune.Core.Access;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune certs</c>: the certificates of one run.</summary>
internal static class CertsVerb
{
    private const int MostDays = 3650;
    private static readonly Option<string> Folder = new("--output") { Description = "The folder to write.", Required = true, HelpName = "DIR" };

    private static readonly Option<string> Hosts = new("--hosts")
    {
        Description = "Names and addresses of the coordinator, with commas between.",
        DefaultValueFactory = _ => "localhost,127.0.0.1,::1,coordinator",
        HelpName = "NAMES",
    };

    private static readonly Option<int> Days = new("--days") { Description = "How long they are valid.", DefaultValueFactory = _ => 30, HelpName = "N" };

    public static Command Create()
    {
        var verb = new Verb(
            "certs",
            """
            Makes an authority for one run and certificates for its coordinator, workers, administrators and readers, so that nobody else
            can join or look. Run it again on the same folder to renew them: services take the new files without a restart.

            Examples:
              disttune certs --output ./certs --hosts coordinator,10.0.0.5 --days 7
              DISTTUNE_TLS_CA=certs/ca.pem DISTTUNE_TLS_CERT=certs/worker.pem DISTTUNE_TLS_KEY=certs/worker-key.pem  (a worker's environment)
            """)
        {
            Folder, Hosts, Days,
        };
        verb.SetAction(Run);
        return verb;
    }

    private static Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        var days = parsed.GetValue(Days);
        if (days is < 1 or > MostDays)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"--days must be 1 to {MostDays}, got {days}."));
        }

        var hosts = parsed.GetRequiredValue(Hosts).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        foreach (var file in RunCertificates.Write(parsed.GetRequiredValue(Folder), hosts, TimeSpan.FromDays(days), TimeProvider.System.GetUtcNow()))
        {
            parsed.InvocationConfiguration.Output.WriteLine(file);
        }

        return Task.FromResult(ExitCodes.Success);
    }
}
