using System.Net;
using DistTune.Engine.Tests;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTune.Cluster.Tests;

/// <summary>A coordinator that sends every worker home, does not answer its good-bye, and falls silent in the middle of the first adapter.</summary>
internal sealed class OddCoordinator : Training.TrainingBase, IAsyncDisposable
{
    private readonly WebApplication _app;
    private int _registrations;
    private int _adapterCalls;

    private OddCoordinator()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http2));
        builder.Logging.ClearProviders();
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(this);
        _app = builder.Build();
        _app.MapGrpcService<OddCoordinator>();
    }

    /// <summary>The adapter it sends, two chunks long.</summary>
    public float[] Adapter { get; } = [.. Enumerable.Range(0, VectorChunks.FloatsPerChunk + 1).Select(index => (float)index)];

    /// <summary>Whether nothing comes after the first chunk that it sends.</summary>
    public bool FallsSilent { get; set; } = true;

    public int Port => new Uri(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()).Port;

    public int Registrations => Volatile.Read(ref _registrations);

    public int AdapterCalls => Volatile.Read(ref _adapterCalls);

    public static async Task<OddCoordinator> StartAsync()
    {
        var coordinator = new OddCoordinator();
        await coordinator._app.StartAsync(TestContext.Current.CancellationToken);
        return coordinator;
    }

    public override Task<GetRunsResponse> GetRuns(GetRunsRequest request, ServerCallContext context) =>
        Task.FromResult(new GetRunsResponse { Term = 1, Runs = { TrainingMapping.ToFacts(FakePlan.Create()) } });

    public override Task<RegisterResponse> Register(RegisterRequest request, ServerCallContext context) =>
        Task.FromResult(new RegisterResponse { Term = 1, SessionId = $"{Interlocked.Increment(ref _registrations)}" });

    public override async Task Session(IAsyncStreamReader<SessionReport> requestStream, IServerStreamWriter<SessionCommand> responseStream, ServerCallContext context)
    {
        await responseStream.WriteAsync(new SessionCommand { Opened = new SessionOpened() });
        while (await requestStream.MoveNext(context.CancellationToken))
        {
        }
    }

    public override Task<PullResponse> Pull(PullRequest request, ServerCallContext context) => Task.FromResult(new PullResponse { Drain = true });

    public override Task<LeaveResponse> Leave(LeaveRequest request, ServerCallContext context) =>
        throw new RpcException(new Status(StatusCode.Unavailable, "it has gone"));

    public override async Task GetAdapter(GetAdapterRequest request, IServerStreamWriter<Chunk> responseStream, ServerCallContext context)
    {
        var first = Interlocked.Increment(ref _adapterCalls) == 1 && FallsSilent;
        foreach (var chunk in VectorChunks.Cut(Adapter, request.Offset, Adapter.Length - request.Offset))
        {
            await responseStream.WriteAsync(chunk);
            await (first ? Task.Delay(Timeout.Infinite, context.CancellationToken) : Task.CompletedTask);
        }
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();
}
