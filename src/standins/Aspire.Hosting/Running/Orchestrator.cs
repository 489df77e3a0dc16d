using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Running;

/// <summary>Starts the resources in the order of their waits, watches over them, and leaves none behind.</summary>
internal sealed class Orchestrator(
    IReadOnlyList<IResource> resources,
    BuildOutput buildOutput,
    Output output,
    IServiceProvider services,
    IHostApplicationLifetime lifetime,
    ILogger<Orchestrator> logger) : IHostedService, IDisposable
{
    private readonly CancellationTokenSource _stopping = new();
    private readonly Dictionary<IResource, RunningResource> _running = [];
    private readonly IConfiguration _configuration = (IConfiguration)services.GetService(typeof(IConfiguration))!;
    private readonly IHostEnvironment _environment = (IHostEnvironment)services.GetService(typeof(IHostEnvironment))!;
    private PosixSignalRegistration? _hangUp;
    private readonly ConcurrentBag<Task> _all = [];

    public Task StartAsync(CancellationToken cancellationToken)
    {
        // A closed terminal must not leave children behind; the host itself only listens for SIGINT, SIGQUIT and SIGTERM.
        if (!OperatingSystem.IsWindows())
        {
            _hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
            {
                context.Cancel = true;
                lifetime.StopApplication();
            });
        }

        AppDomain.CurrentDomain.ProcessExit += KillAll;
        Ports.Allocate(resources.SelectMany(resource => resource.Annotations.OfType<EndpointAnnotation>()));
        foreach (var project in resources.OfType<ProjectResource>())
        {
            output.Announce(project.Name);
            _running[project] = new RunningResource(project);
        }

        foreach (var resource in _running.Values)
        {
            TryStart(resource.Project);
        }

        return Task.CompletedTask;
    }

    /// <summary>Starts a resource that does not run, unless everything is being stopped.</summary>
    public bool TryStart(IResource resource)
    {
        if (_stopping.IsCancellationRequested || !_running.TryGetValue(resource, out var running) || Interlocked.Exchange(ref running.Started, 1) == 1)
        {
            return false;
        }

        _all.Add(RunAsync(running));
        return true;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        await Task.WhenAll(_running.Values.Select(resource => resource.Process?.StopAsync() ?? Task.CompletedTask));
        await Task.WhenAll(_all);
    }

    public void Dispose()
    {
        AppDomain.CurrentDomain.ProcessExit -= KillAll;
        KillAll(this, EventArgs.Empty);
        _hangUp?.Dispose();
        _stopping.Dispose();
    }

    private async Task RunAsync(RunningResource resource)
    {
        await Task.Yield();
        CustomResourceSnapshot last;
        try
        {
            await WaitForDependenciesAsync(resource);
            last = await RunProcessAsync(resource);
        }
        catch (DistributedApplicationException exception)
        {
            output.Write(resource.Project.Name, exception.Message);
            last = new CustomResourceSnapshot { State = KnownResourceStates.FailedToStart };
        }
        catch (OperationCanceledException)
        {
            last = new CustomResourceSnapshot { State = KnownResourceStates.Exited };
        }

        resource.Ready.TrySetResult(false);
        Volatile.Write(ref resource.Started, 0);
        await TellAsync(resource, last);
    }

    private async Task WaitForDependenciesAsync(RunningResource resource)
    {
        foreach (var dependency in resource.Project.Annotations.OfType<WaitAnnotation>().Select(wait => wait.Dependency))
        {
            if (_running.TryGetValue(dependency, out var other) && !await other.Ready.Task.WaitAsync(_stopping.Token))
            {
                throw new DistributedApplicationException(
                    $"not started: '{dependency.Name}', for which it waits, ended before it was healthy. Its last lines:{Environment.NewLine}"
                    + string.Join(Environment.NewLine, (other.Process?.LastLines ?? []).Select(line => "  " + line)));
            }
        }
    }

    private async Task<CustomResourceSnapshot> RunProcessAsync(RunningResource resource)
    {
        var project = resource.Project.Annotations.OfType<ProjectAnnotation>().Single();
        void Log(string line) => output.Write(resource.Project.Name, line);

        var program = await buildOutput.LocateAsync(project, Log, _stopping.Token);
        var environment = await ChildEnvironment.CreateAsync(resource.Project, _configuration, _environment, _stopping.Token);
        List<string> arguments = [program];
        foreach (var argument in resource.Project.Annotations.OfType<ArgumentsAnnotation>().SelectMany(annotation => annotation.Arguments))
        {
            arguments.Add(await Values.TextAsync(argument, _stopping.Token));
        }

        _stopping.Token.ThrowIfCancellationRequested();
        var process = ChildProcess.Start(BuildOutput.DotnetPath, arguments, Path.GetDirectoryName(project.ProjectFile)!, environment, Log);
        resource.Process = process;
        if (_stopping.IsCancellationRequested)
        {
            // StopAsync may have looked before the process was there.
            await process.StopAsync();
        }

        await BecomeReadyAsync(resource, process);
        var exitCode = await process.Exited;
        return new CustomResourceSnapshot
        {
            State = exitCode == 0 ? KnownResourceStates.Finished : KnownResourceStates.Exited,
            ExitCode = exitCode,
        };
    }

    private async Task BecomeReadyAsync(RunningResource resource, ChildProcess process)
    {
        using var polling = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
        var healthy = HealthPoll.UntilHealthyAsync(resource.Project, polling.Token);
        if (await Task.WhenAny(healthy, process.Exited) == healthy && healthy.IsCompletedSuccessfully)
        {
            resource.Ready.TrySetResult(true);
            return;
        }

        await polling.CancelAsync();
        await healthy.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task TellAsync(RunningResource resource, CustomResourceSnapshot last)
    {
        var stopped = new ResourceStoppedEvent(resource.Project, services, new ResourceEvent(resource.Project, resource.Project.Name, last));
        foreach (var annotation in resource.Project.Annotations.OfType<StoppedAnnotation>())
        {
            try
            {
                await annotation.Callback(stopped, CancellationToken.None);
            }
            catch (Exception exception)
            {
                logger.LogError(exception, "What is to happen when '{Resource}' has stopped failed; stopping the application.", resource.Project.Name);
                lifetime.StopApplication();
            }
        }
    }

    private void KillAll(object? sender, EventArgs arguments)
    {
        foreach (var resource in _running.Values)
        {
            resource.Process?.Kill();
        }
    }

    private sealed class RunningResource(ProjectResource project)
    {
        public ProjectResource Project => project;

        /// <summary>True once it is healthy, false if it ended before.</summary>
        public TaskCompletionSource<bool> Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public volatile ChildProcess? Process;

        /// <summary>1 from its start to its end.</summary>
        public int Started;
    }
}
