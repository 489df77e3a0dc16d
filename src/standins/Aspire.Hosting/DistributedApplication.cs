using Microsoft.Extensions.Hosting;

namespace Aspire.Hosting;

/// <summary>An application of several resources.</summary>
/// <param name="host">The host that runs it.</param>
public class DistributedApplication(IHost host) : IHost, IAsyncDisposable
{
    /// <inheritdoc />
    public IServiceProvider Services => host.Services;

    /// <summary>Begins an application.</summary>
    /// <param name="args">Command line of the app host.</param>
    public static IDistributedApplicationBuilder CreateBuilder(string[] args) => new DistributedApplicationBuilder(args);

    /// <summary>Runs until the process is told to end.</summary>
    public void Run() => RunAsync().GetAwaiter().GetResult();

    /// <summary>Runs until the process is told to end or the token is cancelled; then stops every resource.</summary>
    public virtual async Task RunAsync(CancellationToken cancellationToken = default)
    {
        await StartAsync(cancellationToken);
        await host.WaitForShutdownAsync(cancellationToken);
    }

    /// <summary>Starts the resources; does not wait for those that wait for others.</summary>
    public virtual Task StartAsync(CancellationToken cancellationToken = default) => host.StartAsync(cancellationToken);

    /// <summary>Stops every resource.</summary>
    public virtual Task StopAsync(CancellationToken cancellationToken = default) => host.StopAsync(cancellationToken);

    /// <inheritdoc />
    public virtual void Dispose()
    {
        host.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <inheritdoc />
    public virtual async ValueTask DisposeAsync()
    {
        if (host is IAsyncDisposable disposable)
        {
            await disposable.DisposeAsync();
        }
        else
        {
            host.Dispose();
        }

        GC.SuppressFinalize(this);
    }
}

/// <summary>The application is not described or set up as it must be.</summary>
public class DistributedApplicationException : Exception
{
    /// <summary>A fault without a message.</summary>
    public DistributedApplicationException()
    {
    }

    /// <summary>A fault.</summary>
    public DistributedApplicationException(string message)
        : base(message)
    {
    }

    /// <summary>A fault with its cause.</summary>
    public DistributedApplicationException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
