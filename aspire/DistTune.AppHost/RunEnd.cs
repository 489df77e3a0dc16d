using System.Globalization;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace DistTune.AppHost;

/// <summary>
/// When the application ends, and how: with the coordinator, whose exit code it takes, unless it died and is started again to go on from
/// its journal; or with the last worker, if all of them failed, for then the run cannot go on.
/// </summary>
internal sealed class RunEnd(int workers)
{
    private const int Failed = 1;
    private const int Interrupted = 130;

    private readonly Lock _gate = new();
    private readonly CoordinatorRestarts _restarts = new(TimeProvider.System);
    private int _workersLeft = workers;
    private int? _exitCode;

    /// <summary>Exit code of the application, once it has run.</summary>
    public int ExitCode => _exitCode ?? Interrupted;

    public Task CoordinatorStopped(ProjectResource coordinator, ResourceStoppedEvent stopped, CancellationToken cancellationToken)
    {
        var exitCode = stopped.ResourceEvent.Snapshot.ExitCode;
        var lifetime = stopped.Services.GetRequiredService<IHostApplicationLifetime>();
        if (!lifetime.ApplicationStopping.IsCancellationRequested && _restarts.PauseAfter(exitCode) is { } pause)
        {
            // Not awaited: who tells of an end waits until all who listen are through.
            _ = StartAgainAsync(coordinator, stopped, pause, lifetime.ApplicationStopping);
            return Task.CompletedTask;
        }

        End(stopped, exitCode ?? Failed);
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

    private async Task StartAgainAsync(ProjectResource coordinator, ResourceStoppedEvent stopped, TimeSpan pause, CancellationToken stopping)
    {
        try
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{coordinator.Name} | ended before the run did (exit code {stopped.ResourceEvent.Snapshot.ExitCode}); it is started again in {pause.TotalSeconds:0.##} s and goes on from its journal."));
            await Task.Delay(pause, stopping);
            _restarts.Started();
            var started = await stopped.Services.GetRequiredService<ResourceCommandService>()
                .ExecuteCommandAsync(coordinator, KnownResourceCommands.StartCommand, stopping);
            if (!started.Success)
            {
                Console.Error.WriteLine($"{coordinator.Name} cannot be started again: {started.ErrorMessage}");
                End(stopped, stopped.ResourceEvent.Snapshot.ExitCode ?? Failed);
            }
        }
        catch (OperationCanceledException)
        {
            // The application stops; the exit code says that it was interrupted.
        }
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
