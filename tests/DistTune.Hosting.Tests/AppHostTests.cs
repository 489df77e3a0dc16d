using System.Diagnostics;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using DistTune.ServiceDefaults;

namespace DistTune.Hosting.Tests;

public sealed class AppHostTests
{
    [Fact]
    public async Task A_resource_starts_only_when_what_it_waits_for_is_healthy()
    {
        await using var run = new AppHostRun();
        var server = run.AddChild("server", "serve", "1500").WithHttpEndpoint().WithHttpHealthCheck("/health");
        run.AddChild("client", "environment", "services__server__http__0").WithReference(server).WaitFor(server);
        var clock = Stopwatch.StartNew();
        await run.StartAsync();

        var line = await run.LineAsync("services__server__http__0=");

        Assert.InRange(clock.Elapsed, TimeSpan.FromSeconds(1.5), TimeSpan.FromSeconds(30));
        Assert.Equal($"client | services__server__http__0={server.GetEndpoint("http").Url}", line);
    }

    [Fact]
    public async Task A_resource_that_ends_before_it_is_healthy_fails_those_that_wait_and_its_last_lines_are_shown()
    {
        await using var run = new AppHostRun();
        var stopped = new TaskCompletionSource<CustomResourceSnapshot>();
        var server = run.AddChild("server", "exit", "7").WithHttpEndpoint().WithHttpHealthCheck("/health");
        run.AddChild("client", "environment", "HOME").WaitFor(server).OnResourceStopped((_, end, _) =>
        {
            stopped.SetResult(end.ResourceEvent.Snapshot);
            return Task.CompletedTask;
        });
        await run.StartAsync();

        var end = await stopped.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        Assert.Equal(KnownResourceStates.FailedToStart, end.State?.Text);
        Assert.Contains("'server', for which it waits, ended before it was healthy", run.Text, StringComparison.Ordinal);
        Assert.Contains("  last words", run.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("HOME=", run.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_exit_code_of_a_resource_is_told()
    {
        await using var run = new AppHostRun();
        var stopped = new TaskCompletionSource<CustomResourceSnapshot>();
        run.AddChild("job", "exit", "7").OnResourceStopped((_, end, _) =>
        {
            stopped.SetResult(end.ResourceEvent.Snapshot);
            return Task.CompletedTask;
        });
        await run.StartAsync();

        var end = await stopped.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        Assert.Equal((KnownResourceStates.Exited, 7), (end.State?.Text, end.ExitCode));
    }

    [Fact]
    public async Task The_environment_is_Aspires_and_what_the_app_host_says_wins()
    {
        await using var run = new AppHostRun();
        var token = run.Builder.AddParameter("token", "s3cret", secret: true);
        var server = run.AddChild("server", "exit", "0")
            .WithHttpEndpoint(name: "http").WithHttpEndpoint(name: "grpc").WithEndpoint("grpc", endpoint => endpoint.Transport = "http2");
        var grpc = server.GetEndpoint("grpc");
        run.AddChild(
            "client", "environment", "OTEL_SERVICE_NAME", "TOKEN", "services__server__http__0", "services__server__http__1",
            "services__server__grpc__0", "ASPNETCORE_URLS", "ADDRESS", "OWN_PORT", "DOTNET_ENVIRONMENT")
            .WithHttpEndpoint(name: "one").WithHttpEndpoint(name: "two", env: "OWN_PORT").WithEndpointsInEnvironment(endpoint => endpoint.Name == "one")
            .WithReference(server)
            .WithEnvironment("TOKEN", token)
            .WithEnvironment("DOTNET_ENVIRONMENT", "Mine")
            .WithEnvironment("ADDRESS", $"tcp:{grpc.Property(EndpointProperty.HostAndPort)}/{grpc.Property(EndpointProperty.TargetPort)}");
        await run.StartAsync();
        await run.LineAsync("DOTNET_ENVIRONMENT=Mine");

        Assert.Contains("client | OTEL_SERVICE_NAME=client\n", run.Text, StringComparison.Ordinal);
        Assert.Contains("client | TOKEN=s3cret\n", run.Text, StringComparison.Ordinal);
        Assert.Contains($"services__server__http__0={server.GetEndpoint("http").Url}\n", run.Text, StringComparison.Ordinal);
        Assert.Contains($"services__server__http__1={grpc.Url}\n", run.Text, StringComparison.Ordinal);
        Assert.Contains($"services__server__grpc__0={grpc.Url}\n", run.Text, StringComparison.Ordinal);
        Assert.Matches(@"ASPNETCORE_URLS=http://localhost:\d+\n", run.Text);
        Assert.Contains($"ADDRESS=tcp:localhost:{grpc.Port}/{grpc.Port}\n", run.Text, StringComparison.Ordinal);
        Assert.Matches(@"OWN_PORT=\d+\n", run.Text);
    }

    [Fact]
    public async Task Stopping_lets_services_end_in_order()
    {
        await using var run = new AppHostRun();
        run.AddChild("server", "serve").WithHttpEndpoint();
        await run.StartAsync();
        await run.LineAsync("Application started");
        var clock = Stopwatch.StartNew();

        await run.StopAsync();

        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(7));
        Assert.Contains("server | stopped in order", run.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stopping_kills_what_does_not_end_and_leaves_nothing_below_it()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Signals and process trees are read from /proc.");
        await using var run = new AppHostRun();
        run.AddChild("stubborn", "stubborn");
        run.AddChild("careless", "careless");
        await run.StartAsync();
        int[] processes = [.. await run.ProcessIdsAsync("stubborn"), .. await run.ProcessIdsAsync("careless")];
        Assert.Equal(4, processes.Length);
        var clock = Stopwatch.StartNew();

        await run.StopAsync();

        Assert.InRange(clock.Elapsed, TimeSpan.FromSeconds(7), TimeSpan.FromSeconds(10));
        Assert.All(processes, id => Assert.False(new ParentProcess(id, "").IsAlive, $"process {id} is left"));
    }

    [Fact]
    public async Task A_service_ends_when_its_parent_is_gone()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Uses the sleep command as the parent that goes away.");
        using var parent = Process.Start("sleep", "600");
        await using var run = new AppHostRun();
        run.AddChild("server", "serve").WithHttpEndpoint()
            .WithEnvironment(ParentProcess.IdVariable, parent.Id.ToString(System.Globalization.CultureInfo.InvariantCulture));
        await run.StartAsync();
        await run.LineAsync("Application started");

        parent.Kill();

        await run.LineAsync("stopped in order");
    }

    [Fact]
    public void A_process_id_that_was_given_to_another_process_is_not_the_parent()
    {
        Assert.True(ParentProcess.Current.IsAlive);
        Assert.False((ParentProcess.Current with { Started = "1" }).IsAlive);
        Assert.Null(ParentProcess.FromEnvironment(_ => null));
        Assert.Equal(ParentProcess.Current, ParentProcess.FromEnvironment(name => name == ParentProcess.IdVariable
            ? ParentProcess.Current.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)
            : ParentProcess.Current.Started));
    }
}
