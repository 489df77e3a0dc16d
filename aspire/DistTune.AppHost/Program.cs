using System.Globalization;
using System.Security.Cryptography;
using Aspire.Hosting;
using DistTune.AppHost;

if (!LaunchOptions.TryParse(args, Environment.ProcessorCount, out var options, out var fault))
{
    Console.Error.WriteLine(fault);
    return LaunchOptions.FaultExitCode;
}

var builder = DistributedApplication.CreateBuilder([]);
var end = new RunEnd(options.Workers);

// Made anew for each launch, handed on in the environment only: whoever can reach the port still cannot join the run.
var token = builder.AddParameter("token", Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)), secret: true);

var coordinator = builder.AddProject("coordinator", "../../src/DistTune.Coordinator/DistTune.Coordinator.csproj")
    .WithArgs(options.CoordinatorArguments)
    .WithKestrelEndpoint("http", http2: false)
    .WithKestrelEndpoint("grpc", http2: true)
    .WithHttpHealthCheck("/health", endpointName: "http")
    .WithEnvironment("DISTTUNE_TOKEN", token)
    .WithEnvironment("DISTTUNE_LAUNCH_DIRECTORY", Environment.CurrentDirectory)
    .WithEnvironment("DISTTUNE_LAUNCH", Guid.NewGuid().ToString("N"))
    .EndingWithThisProcess()
    .OnResourceStopped(end.CoordinatorStopped);

for (var rank = 0; rank < options.Workers; rank++)
{
    builder.AddProject($"worker-{rank}", "../../src/DistTune.Worker/DistTune.Worker.csproj")
        .WithKestrelEndpoint("http", http2: false)
        .WithReference(coordinator)
        .WithEnvironment("services__coordinator__grpc__0", coordinator.GetEndpoint("grpc"))
        .WaitFor(coordinator)
        .WithEnvironment("DISTTUNE_TOKEN", token)
        .WithEnvironment("DISTTUNE_WORKER_RANK", rank.ToString(CultureInfo.InvariantCulture))
        .WithCores(options.ThreadsPerWorker)
        .EndingWithThisProcess()
        .OnResourceStopped(end.WorkerStopped);
}

await using var app = builder.Build();
await app.RunAsync();
return end.ExitCode;
