namespace DistTune.AppHost;

/// <summary>Decides whether a coordinator that has ended is started again, and after which pause.</summary>
/// <param name="time">The clock.</param>
internal sealed class CoordinatorRestarts(TimeProvider time)
{
    /// <summary>The coordinator's own exit code for a folder that cannot be written at the moment.</summary>
    private const int Unfinished = 75;
    private const int FirstSignal = 128;
    private const int Interrupted = 130;
    private const int MostInARow = 10;

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    // Whoever lived for so long did not die of what killed the one before.
    private static readonly TimeSpan Healthy = TimeSpan.FromMinutes(1);

    private long _started = time.GetTimestamp();
    private int _inARow;

    /// <summary>The pause before it is started again; null if it has ended for good: finished, failed, misconfigured, or dead too often.</summary>
    /// <param name="exitCode">How it ended; null if nobody knows.</param>
    public TimeSpan? PauseAfter(int? exitCode)
    {
        // A run that ends says how (0 to 2), an interrupt was meant; all else killed a process that had more to do.
        if (exitCode is >= 0 and < FirstSignal and not Unfinished or Interrupted)
        {
            return null;
        }

        _inARow = time.GetElapsedTime(_started) >= Healthy ? 1 : _inARow + 1;
        return _inARow > MostInARow ? null : TimeSpan.FromTicks(Math.Min(LongestPause.Ticks, FirstPause.Ticks << (_inARow - 1)));
    }

    /// <summary>It is being started now.</summary>
    public void Started() => _started = time.GetTimestamp();
}
