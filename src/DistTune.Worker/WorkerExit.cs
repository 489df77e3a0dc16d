namespace DistTune.Worker;

/// <summary>The process's exit code.</summary>
internal sealed class WorkerExit
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Configuration = 2;

    /// <summary>Failed until the work is done.</summary>
    public int Code { get; set; } = Failed;
}
