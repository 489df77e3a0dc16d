using DistTune.Core;

namespace DistTune.Engine.Storage;

/// <summary>
/// What a run must keep could not be written, or another coordinator has taken the run over. The run has not failed: it stands where its
/// journal says, and goes on from there when it is opened again.
/// </summary>
public sealed class RunStorageException(string message, Exception? innerException = null) : DistTuneException(FaultKind.Failed, message, innerException)
{
    /// <summary>Whether somebody else drives the run now, so that this process must not come back to it.</summary>
    public bool Superseded { get; init; }
}
