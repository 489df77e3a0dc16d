namespace DistTune.Engine;

/// <summary>Liveness settings. None of them can change a result.</summary>
public sealed record EngineOptions
{
    /// <summary>How long a lease lives without progress.</summary>
    public TimeSpan LeaseDuration { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>How long a worker may be registered without a session; until it opens one it gets no groups and does not count.</summary>
    public TimeSpan SessionOpensWithin { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Workers that must be there before the first group is handed out.</summary>
    public int WorkersToStart { get; init; } = 1;

    /// <summary>A group that runs longer than this, and than twice what its worker usually needs for one, is given to an idle worker as well.</summary>
    public TimeSpan BackupAfter { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Refused results and reported failures of one group after which the run fails.</summary>
    public int AttemptsPerGroup { get; init; } = 3;

    /// <summary>Results of one worker that cannot be right after which it is shut out, if there are others.</summary>
    public int WrongResultsPerWorker { get; init; } = 3;

    /// <summary>How long two results of one group wait for a third worker to decide; zero where no other worker can come.</summary>
    public TimeSpan ArbiterWait { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// Gradients of a run on disk that are held in memory, however many workers send; the others lie in the spool until it is their turn.
    /// Adding them up may take one more for each level of the tree.
    /// </summary>
    public int VectorsInMemory { get; init; } = 16;

    /// <summary>The coordinator's term.</summary>
    public long Term { get; init; } = 1;
}
