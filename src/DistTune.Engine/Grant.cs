using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>A group, leased.</summary>
/// <param name="Group">What to compute.</param>
/// <param name="AdapterSha256">The adapter version to compute it with.</param>
/// <param name="Attempt">Which attempt at this group it is, from 1.</param>
/// <param name="LeaseDuration">How long the lease lives without progress.</param>
/// <param name="Term">The coordinator's term.</param>
/// <param name="TraceParent">W3C trace context of the step's root span, or null.</param>
/// <param name="Revoked">Cancelled when the result is no longer wanted.</param>
public sealed record Grant(
    GroupSpec Group,
    string AdapterSha256,
    int Attempt,
    TimeSpan LeaseDuration,
    long Term,
    string? TraceParent,
    CancellationToken Revoked)
{
    /// <summary>The group's identity within its run.</summary>
    public GroupKey Key => GroupKey.Of(Group);
}

/// <summary>The answer to a pull.</summary>
/// <param name="Grants">Groups to compute; empty if there was nothing to do within the wait.</param>
/// <param name="Drain">Whether the worker should finish what it has and leave.</param>
public sealed record PullAnswer(IReadOnlyList<Grant> Grants, bool Drain);

/// <summary>What became of a result.</summary>
public enum SubmitStatus
{
    /// <summary>It is the group's result.</summary>
    Accepted,

    /// <summary>The group had this very result already; nothing was added twice.</summary>
    Duplicate,

    /// <summary>The step, adapter or run it was computed for is no longer current.</summary>
    Stale,

    /// <summary>It cannot be right (shape, checksum, counts); the group is given out again.</summary>
    Invalid,

    /// <summary>It contradicts another result or is not finite; the run has failed.</summary>
    Fatal,

    /// <summary>What it resumes is not kept any more: all of it must be sent.</summary>
    Unknown,
}

/// <summary>What became of a result, and why.</summary>
public readonly record struct SubmitVerdict(SubmitStatus Status, string Reason);

/// <summary>What is here of a result whose connection was lost.</summary>
public enum UploadState
{
    /// <summary>Nothing: all of it must be sent.</summary>
    Unknown,

    /// <summary>Part of it.</summary>
    Partial,

    /// <summary>The group has its result.</summary>
    Done,

    /// <summary>It is not wanted any more.</summary>
    Stale,
}

/// <summary>What is here of a result whose connection was lost, and how to go on with it.</summary>
/// <param name="State">What is here.</param>
/// <param name="Received">The floats that have arrived, in order.</param>
/// <param name="Grant">The lease to send the rest under; null if it is not wanted.</param>
/// <param name="Reason">Why it is not wanted.</param>
public sealed record UploadAnswer(UploadState State, IReadOnlyList<FloatRange> Received, Grant? Grant, string Reason);

/// <summary>Names the grant that a message is about.</summary>
/// <param name="RunId">The run.</param>
/// <param name="Group">The group.</param>
/// <param name="AdapterSha256">The adapter version it is computed with.</param>
/// <param name="Attempt">The attempt.</param>
/// <param name="Term">The term of the grant.</param>
public sealed record GrantReference(string RunId, GroupKey Group, string AdapterSha256, int Attempt, long Term)
{
    /// <summary>The reference to a grant.</summary>
    public static GrantReference To(Grant grant)
    {
        ArgumentNullException.ThrowIfNull(grant);
        return new GrantReference(grant.Group.RunId, grant.Key, grant.AdapterSha256, grant.Attempt, grant.Term);
    }
}
