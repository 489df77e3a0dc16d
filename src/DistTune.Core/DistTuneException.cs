namespace DistTune.Core;

/// <summary>What kind of fault a <see cref="DistTuneException"/> is; exit codes and gRPC statuses follow from it.</summary>
public enum FaultKind
{
    /// <summary>The run could not be carried out (exit code 1).</summary>
    Failed,

    /// <summary>The user's configuration or input is wrong (exit code 2).</summary>
    Configuration,

    /// <summary>A file that was read is not what it claims to be (exit code 2).</summary>
    InvalidFile,

    /// <summary>A peer is not who it must be (gRPC unauthenticated).</summary>
    Unauthenticated,

    /// <summary>A peer may not do what it asked for (gRPC permission denied).</summary>
    PermissionDenied,

    /// <summary>The request is valid but no longer current, such as a result for an old step.</summary>
    Stale,
}

/// <summary>
/// A fault of the user's input, of a file or of a peer. The message says what was got, what was expected, where, and the cure.
/// </summary>
public class DistTuneException : Exception
{
    /// <summary>Creates a fault of a kind with a message for the user.</summary>
    public DistTuneException(FaultKind kind, string message, Exception? innerException = null)
        : base(message, innerException) => Kind = kind;

    /// <summary>The kind of fault.</summary>
    public FaultKind Kind { get; }
}
