using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace DistTune.AppHost;

/// <summary>
/// When the application ends, and how: with the coordinator, whose exit code it takes; or with the last worker, if all of them failed,
/// for then the run cannot go on.
/// </summary>
internal sealed class RunEnd(int workers)
{
    private const int Failed = 1;
    private const int Interrupted = 130;

    private readonly Lock _gate = new();
    private int _workersLeft = workers;
    private int? _exitCode;

    /// <summary>Exit code of the application, once it has run.</summary>
    public int ExitCode => _exitCode ?? Interrupted;

    public Task CoordinatorStopped(ProjectResource coordinator, ResourceStoppedEvent stopped, CancellationToken cancellationToken)
    {
        End(stopped, stopped.ResourceEvent.Snapshot.ExitCode ?? Failed);
        return Task.CompletedTask;
    }

    public Task WorkerStopped(ProjectResource worker, ResourceStoppedEvent stopped, CancellationToken cancellationToken)
    {
        // A worker that ends well was told that the run is over; the coordinator still has files to write.
        if (stopped.ResourceEvent.Snapshot.ExitCode != 0 && Interlocked.Decrement(ref _workersLeft) == 0)
        {
            End(stopped, Failed);
        }

        return Task.CompletedTask;
    }

    private void End(ResourceStoppedEvent stopped, int exitCode)
    {
        var lifetime = stopped.Services.GetRequiredService<IHostApplicationLifetime>();
        lock (_gate)
        {
            // While everything is being stopped, workers end in any way and any order; only the coordinator knows how the run stands.
            if (!lifetime.ApplicationStopping.IsCancellationRequested || stopped.Resource.Name == "coordinator")
            {
                _exitCode ??= exitCode;
            }
        }

        lifetime.StopApplication();
    }
}
