using Microsoft.Extensions.Hosting;

namespace DistTune.ServiceDefaults;

/// <summary>What services ask of their host's lifetime.</summary>
public static class LifetimeExtensions
{
    /// <summary>
    /// Completes when the application has started. A service that may end the application waits for this first: stopping a host that is
    /// still starting makes its start fail.
    /// </summary>
    public static async Task StartedAsync(this IHostApplicationLifetime lifetime, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(lifetime);
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = lifetime.ApplicationStarted.Register(started.SetResult);
        await started.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
    }
}
