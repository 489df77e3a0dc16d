namespace DistTune.Engine;

/// <summary>Liveness settings. None of them can change a result.</summary>
public sealed record EngineOptions
{
    /// <summary>How long a lease lives without progress.</summary>
    public TimeSpan LeaseDuration { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>Workers that must be registered before the first group is handed out.</summary>
    public int WorkersToStart { get; init; } = 1;

    /// <summary>A group that runs longer than this, and than twice its slowest predecessor, is given to an idle worker as well.</summary>
    public TimeSpan BackupAfter { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Refused results and reported failures of one group after which the run fails.</summary>
    public int AttemptsPerGroup { get; init; } = 3;

    /// <summary>Results of one worker that cannot be right after which it is shut out, if there are others.</summary>
    public int WrongResultsPerWorker { get; init; } = 3;

    /// <summary>The coordinator's term.</summary>
    public long Term { get; init; } = 1;
}
