using System.CommandLine;
using DistTune.Core;
using DistTune.Core.Access;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune token</c>: a signed token for one run, one role and a while.</summary>
internal static class TokenVerb
{
    private const string KeyVariable = "DISTTUNE_TOKEN_KEY";
    private const int MostHours = 24 * 365;
    private static readonly Option<string> Role = new("--role") { Description = "worker, reader or admin.", DefaultValueFactory = _ => "worker" };
    private static readonly Option<string> Name = new("--run") { Description = "The run's name, as the coordinator's DISTTUNE_TOKEN_RUN says it.", Required = true, HelpName = "NAME" };
    private static readonly Option<int> Hours = new("--hours") { Description = "How long it is valid.", DefaultValueFactory = _ => 24, HelpName = "N" };

    public static Command Create()
    {
        Role.AcceptOnlyFromAmong([.. AccessRoles.Names]);
        var verb = new Verb(
            "token",
            """
            Prints a token that is valid for one run, one role and a while, signed with the key in DISTTUNE_TOKEN_KEY (or the file that
            DISTTUNE_TOKEN_KEY_FILE names). The key is read from there only, for a command line is seen by everybody on the machine.

            Examples:
              DISTTUNE_TOKEN_KEY_FILE=key.txt disttune token --role worker --run wheat --hours 12 > worker.token
            """)
        {
            Role, Name, Hours,
        };
        verb.SetAction(Run);
        return verb;
    }

    private static Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        var hours = parsed.GetValue(Hours);
        if (hours is < 1 or > MostHours)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"--hours must be 1 to {MostHours}, got {hours}."));
        }

        var tickets = new AccessTicket(Key(), parsed.GetRequiredValue(Name));
        var role = AccessRoles.Find(parsed.GetValue(Role)) ?? AccessRole.Worker;
        parsed.InvocationConfiguration.Output.WriteLine(tickets.Issue(role, TimeProvider.System.GetUtcNow().AddHours(hours)));
        return Task.FromResult(ExitCodes.Success);
    }

    private static string Key() => SecretVariable.Read(KeyVariable, Environment.GetEnvironmentVariable)
        ?? throw new DistTuneException(FaultKind.Configuration, $"There is no key to sign with. Set {KeyVariable} or {KeyVariable}_FILE to what the coordinator was started with.");
}
