using DistTune.Coordinator;
using DistTune.Core;
using DistTune.Engine.Storage;

try
{
    var builder = WebApplication.CreateBuilder();
    var endpoints = CoordinatorEndpoints.Of(builder.Configuration);
    var setup = await CoordinatorSetupLoader.LoadAsync(args, Environment.GetEnvironmentVariable, endpoints, TimeProvider.System, CancellationToken.None);
    await using var app = CoordinatorApp.Build(builder, setup);
    var exit = app.Services.GetRequiredService<CoordinatorExit>();
    await app.RunAsync();
    return exit.Code;
}
catch (RunStorageException fault)
{
    Console.Error.WriteLine(fault.Message);
    return CoordinatorExit.Unfinished;
}
catch (DistTuneException fault)
{
    Console.Error.WriteLine(fault.Message);
    return fault.Kind is FaultKind.Configuration or FaultKind.InvalidFile ? CoordinatorExit.Configuration : CoordinatorExit.Failed;
}
