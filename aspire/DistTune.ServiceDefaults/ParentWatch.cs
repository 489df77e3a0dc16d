using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace DistTune.ServiceDefaults;

/// <summary>
/// Ends the service when its parent is gone. A parent that is killed cannot stop its children; they see to it themselves.
/// </summary>
internal sealed class ParentWatch(IHostApplicationLifetime lifetime, TimeProvider time, ILogger<ParentWatch> logger) : BackgroundService
{
    /// <summary>Exit code of a service whose orderly stop took too long after its parent was gone.</summary>
    internal const int OrphanExitCode = 3;

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private ITimer? _lastResort;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (ParentProcess.FromEnvironment(Environment.GetEnvironmentVariable) is not { } parent)
        {
            return;
        }

        while (parent.IsAlive)
        {
            await Task.Delay(Interval, time, stoppingToken);
        }

        logger.ParentGone(parent.Id);

        // A service that hangs in its stop would be the orphan that this class rules out. The timer is never disposed: it ends with the
        // process, one way or the other.
        _lastResort = time.CreateTimer(_ => Environment.Exit(OrphanExitCode), null, Grace, Timeout.InfiniteTimeSpan);
        lifetime.StopApplication();
    }
}
