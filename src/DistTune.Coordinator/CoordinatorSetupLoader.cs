using System.Collections;
using DistTune.Core;
using DistTune.Core.Access;
using DistTune.Core.Configuration;
using DistTune.Core.Planning;
using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>Reads what the process was started with, and resolves its run.</summary>
internal static class CoordinatorSetupLoader
{
    /// <summary>Environment variable with the folder that relative paths on the command line start from.</summary>
    private const string LaunchDirectory = "DISTTUNE_LAUNCH_DIRECTORY";

    /// <summary>Environment variable that names the launch: the same for a coordinator that is started again because it died.</summary>
    private const string Launch = "DISTTUNE_LAUNCH";

    /// <param name="args">The command line.</param>
    /// <param name="environment">Reads a variable.</param>
    /// <param name="endpoints">Where the service is going to listen.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="DistTuneException">Something is missing or wrong.</exception>
    public static async Task<CoordinatorSetup> LoadAsync(
        IReadOnlyList<string> args, Func<string, string?> environment, CoordinatorEndpoints endpoints, TimeProvider time, CancellationToken cancellationToken)
    {
        var token = JoinToken.FromEnvironment(JoinToken.Variable, environment);
        var tickets = JoinToken.TicketsFromEnvironment(environment);
        var tls = CertificateFiles.FromEnvironment(environment);
        tls?.RequireServer();
        if (token is null && tickets is null && tls is not { HasAuthority: true })
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"The coordinator starts only with a join token, so that nobody else's worker can join. Set {JoinToken.Variable} or {JoinToken.Variable}_FILE, {JoinToken.KeyVariable} for signed tokens, or {CertificateFiles.AuthorityVariable} for certificates.");
        }

        var adminToken = JoinToken.FromEnvironment(JoinToken.AdminVariable, environment);
        var readerToken = JoinToken.FromEnvironment(JoinToken.ReaderVariable, environment);
        var takesTokens = (token ?? adminToken ?? readerToken) is not null || tickets is not null;
        endpoints.Check(tls is not null, takesTokens && !PlaintextTokens.AreAllowed(environment));
        var (path, overrides) = CommandLineOverrides.Parse(args);
        var config = RunConfigLoader.Load(
            ConfigSource.FromFile(path),
            [.. ConfigOverride.FromEnvironment(EnvironmentVariables()), .. overrides],
            environment(LaunchDirectory) ?? Environment.CurrentDirectory);
        var run = await RunPlanner.CreateAsync(config, Processor.MultipliesBFloat16, cancellationToken);
        var engine = new EngineOptions
        {
            LeaseDuration = TimeSpan.FromSeconds(config.Distributed.LeaseSeconds),
            WorkersToStart = config.Distributed.MinWorkers,
        };

        // The folder's lock first: until it is held, another coordinator may be writing these files.
        var store = RunStore.Open(run, time, environment(Launch) ?? "");
        var files = new RunFiles(run, time, store.Resumed ? store.Found : null);
        var coordinated = new CoordinatedRun(run.Plan, run.InitialAdapter, new FolderOutputs(files)) { LoggingSteps = config.LoggingSteps, Store = store, Notice = run.InitialNotice };
        return new CoordinatorSetup([coordinated], token, adminToken, engine)
        {
            ReaderToken = readerToken,
            Tickets = tickets,
            Tls = tls,
            WorkersExpected = config.Distributed.Workers ?? 0,
        };
    }

    private static IEnumerable<KeyValuePair<string, string>> EnvironmentVariables() =>
        Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().Select(variable => KeyValuePair.Create((string)variable.Key, (string?)variable.Value ?? ""));
}
