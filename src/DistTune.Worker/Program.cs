using DistTune.Core;
using DistTune.Worker;

try
{
    var options = WorkerOptions.FromEnvironment(Environment.GetEnvironmentVariable, Environment.ProcessorCount);
    await using var app = WorkerApp.Build(WebApplication.CreateBuilder(), options, _ => new TorchComputerSource(options));
    var exit = app.Services.GetRequiredService<WorkerExit>();
    await app.RunAsync();
    return exit.Code;
}
catch (DistTuneException fault)
{
    Console.Error.WriteLine(fault.Message);
    return WorkerExit.Configuration;
}
