namespace DistTune.Engine;

/// <summary>A registered worker.</summary>
public sealed class WorkerSession
{
    internal WorkerSession(string id, string name, int rank, int slots, WorkerFingerprint fingerprint)
    {
        Id = id;
        Name = name;
        Rank = rank;
        Slots = slots;
        Fingerprint = fingerprint;
    }

    /// <summary>Identity of this registration; a worker that registers again gets another.</summary>
    public string Id { get; }

    /// <summary>The worker's own name.</summary>
    public string Name { get; }

    /// <summary>Worker rank: a label in metrics.</summary>
    public int Rank { get; }

    /// <summary>How many groups it computes at a time.</summary>
    public int Slots { get; }

    /// <summary>What it computes with.</summary>
    public WorkerFingerprint Fingerprint { get; }

    /// <summary>Whether it takes part: its session is open, or it needs none because it is in this process.</summary>
    public bool Present { get; internal set; }

    /// <summary>Monotonic timestamp of its registration.</summary>
    internal long Registered { get; init; }

    /// <summary>Whether it was told, or has told us, that it takes no more groups.</summary>
    public bool Draining { get; internal set; }

    /// <summary>Whether it has left or was lost.</summary>
    public bool Gone { get; internal set; }
}
