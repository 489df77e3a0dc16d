using DistTune.Core.Access;
using DistTune.Core.Training;
using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>A run that this process drives.</summary>
/// <param name="Plan">What it was resolved to.</param>
/// <param name="InitialAdapter">What it starts from.</param>
/// <param name="Outputs">Where its files go.</param>
internal sealed record CoordinatedRun(RunPlan Plan, AdapterVersion InitialAdapter, IRunOutputs Outputs)
{
    /// <summary>Where the run is kept; null keeps it in memory only.</summary>
    public RunStore? Store { get; init; }

    /// <summary>What a person should know of its start; null for nothing.</summary>
    public string? Notice { get; init; }

    /// <summary>A log line every so many steps.</summary>
    public int LoggingSteps { get; init; } = 1;
}

/// <summary>Everything the coordinator needs to know at start.</summary>
/// <param name="Runs">The runs, at least one, over one base.</param>
/// <param name="Token">What workers must present; null where they show a ticket or a certificate instead.</param>
/// <param name="AdminToken">What people must present; null refuses them all.</param>
/// <param name="Engine">Liveness settings.</param>
internal sealed record CoordinatorSetup(IReadOnlyList<CoordinatedRun> Runs, JoinToken? Token, JoinToken? AdminToken, EngineOptions Engine)
{
    /// <summary>What those who only look must present; null refuses them all.</summary>
    public JoinToken? ReaderToken { get; init; }

    /// <summary>Checks tokens that are signed, for one role and a while; null refuses them all.</summary>
    public AccessTicket? Tickets { get; init; }

    /// <summary>Certificates of the gRPC endpoint; null leaves it without TLS.</summary>
    public CertificateFiles? Tls { get; init; }

    /// <summary>How many workers there should be, for metrics; 0 if nobody said.</summary>
    public int WorkersExpected { get; init; }
}
