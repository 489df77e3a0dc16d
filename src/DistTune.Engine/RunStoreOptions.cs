using DistTune.Core.Configuration;

namespace DistTune.Engine;

/// <summary>How a run is kept on disk, and what is done with one that is there already. None of it can change a result.</summary>
public sealed record RunStoreOptions
{
    /// <summary>What a configuration asks for.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="launch">See <see cref="Launch"/>.</param>
    public static RunStoreOptions From(RunConfig config, string launch = "")
    {
        ArgumentNullException.ThrowIfNull(config);
        return new RunStoreOptions
        {
            SaveSteps = config.SaveSteps,
            SaveTotalLimit = config.SaveTotalLimit,
            Anew = config.StartAnew,
            SnapshotPath = config.ResumeFrom,
            Launch = launch,
        };
    }

    /// <summary>A snapshot every so many steps; null takes one only when there is too much to redo.</summary>
    public int? SaveSteps { get; init; } = 100;

    /// <summary>Snapshots that are kept, at least two; null keeps all.</summary>
    public int? SaveTotalLimit { get; init; } = 3;

    /// <summary>A snapshot is taken, too, when the gradients since the last one take more than this: it bounds the disk and the time of a recovery.</summary>
    public long RedoLimitBytes { get; init; } = 512L << 20;

    /// <summary>Whether what is in the folder of an earlier run is deleted.</summary>
    public bool Anew { get; init; }

    /// <summary>The snapshot's folder to go on from; null goes on from where the journal says.</summary>
    public string? SnapshotPath { get; init; }

    /// <summary>
    /// Which launch this process belongs to; empty if nobody starts it again. Within one launch a run is started anew, or put back to a
    /// snapshot, only once.
    /// </summary>
    public string Launch { get; init; } = string.Empty;
}
