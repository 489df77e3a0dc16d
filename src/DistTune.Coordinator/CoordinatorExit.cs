namespace DistTune.Coordinator;

/// <summary>The process's exit code, decided by how the runs ended.</summary>
internal sealed class CoordinatorExit
{
    public const int Finished = 0;
    public const int Failed = 1;
    public const int Configuration = 2;

    /// <summary>The run has not ended, but its folder cannot be written at the moment: start again later (EX_TEMPFAIL of sysexits).</summary>
    public const int Unfinished = 75;
    public const int Interrupted = 130;

    /// <summary>Interrupted until the runs have ended.</summary>
    public int Code { get; set; } = Interrupted;
}
