using System.Globalization;
using System.Net;
using System.Net.Sockets;
using DistTune.Coordinator;
using DistTune.Core.Access;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Worker;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace DistTune.Cluster.Tests;

/// <summary>Coordinator and workers as they are, over real gRPC on the loopback, in this process, with computers that need no model.</summary>
internal sealed class LocalCluster : IAsyncDisposable
{
    public const string Token = "join-token-of-the-test";
    public const string AdminToken = "admin-token-of-the-test";
    private const int FirstPort = 20_000;
    private const int Ports = 12_000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    // Test programs that run at the same time begin at different ones.
    private static int _ports = Environment.ProcessId * 97 % Ports;
    private readonly List<WebApplication> _apps = [];
    private WebApplication? _coordinator;

    public int GrpcPort { get; } = FreePort();

    public Uri Address => AddressOf(GrpcPort);

    /// <summary>Changes what the coordinator is started with.</summary>
    public Func<CoordinatorSetup, CoordinatorSetup> Configure { get; init; } = setup => setup;

    /// <summary>Takes every log line of every application, at every level.</summary>
    public ILoggerProvider? Log { get; init; }

    public RecordingObserver Observer { get; } = new();

    public List<FakeOutputs> Outputs { get; } = [];

    public RunRegistry Registry => _coordinator!.Services.GetRequiredService<RunRegistry>();

    public int CoordinatorExitCode => _coordinator!.Services.GetRequiredService<CoordinatorExit>().Code;

    public Task StartCoordinatorAsync(EngineOptions options, params RunPlan[] plans) =>
        StartCoordinatorAsync(options, plans.Select(plan => (plan, FakePlan.Initial(plan))));

    public async Task StartCoordinatorAsync(EngineOptions options, IEnumerable<(RunPlan Plan, AdapterVersion Initial)> plans)
    {
        var runs = plans.Select(item =>
        {
            Outputs.Add(new FakeOutputs(Observer));
            return new CoordinatedRun(item.Plan, item.Initial, Outputs[^1]);
        });
        var setup = new CoordinatorSetup([.. runs], new JoinToken(Token), new JoinToken(AdminToken), options);
        setup = Configure(setup);
        _coordinator = CoordinatorApp.Build(Builder(("DISTTUNE_HTTP_PORT", "0"), ("DISTTUNE_GRPC_PORT", GrpcPort.ToString(CultureInfo.InvariantCulture))), setup);
        if (Log is not null)
        {
            _coordinator.Services.GetRequiredService<ILoggerFactory>().AddProvider(Log);
        }

        _apps.Add(_coordinator);
        await _coordinator.StartAsync(TestContext.Current.CancellationToken);
    }

    public async Task<WebApplication> StartWorkerAsync(int rank = 0, int threads = 1, string? token = Token, IComputerSource? computers = null, int? port = null, CertificateFiles? tls = null)
    {
        var options = OptionsOf(port ?? GrpcPort, rank, threads, token);
        if (tls is not null)
        {
            options = options with { Coordinator = new UriBuilder(options.Coordinator) { Scheme = "https" }.Uri, Tls = tls };
        }

        var worker = WorkerApp.Build(Builder(), options, _ => computers ?? new FakeComputerSource(threads));
        _apps.Add(worker);
        await worker.StartAsync(TestContext.Current.CancellationToken);
        return worker;
    }

    public static WorkerOptions OptionsOf(int port, int rank, int threads, string? token = Token) =>
        new(AddressOf(port), token, string.Create(CultureInfo.InvariantCulture, $"worker-{rank}"), rank, threads, null);

    /// <summary>Waits until the coordinator has ended by itself.</summary>
    public Task CoordinatorEndsAsync() => EndsAsync(_coordinator!);

    /// <summary>Waits until an application has ended by itself.</summary>
    public static Task EndsAsync(WebApplication app) => app.WaitForShutdownAsync(TestContext.Current.CancellationToken).WaitAsync(Patience);

    public static int ExitCodeOf(WebApplication worker) => worker.Services.GetRequiredService<WorkerExit>().Code;

    /// <summary>A port of the loopback that nobody else takes before it is listened to: below those that connections are given.</summary>
    public static int FreePort()
    {
        while (true)
        {
            var port = FirstPort + (Interlocked.Increment(ref _ports) % Ports);
            try
            {
                using var listener = new TcpListener(IPAddress.Loopback, port);
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                // Somebody listens there.
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        foreach (var app in _apps)
        {
            await app.StopAsync(now.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await app.DisposeAsync();
        }
    }

    private static Uri AddressOf(int port) => new(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}"));

    private WebApplicationBuilder Builder(params (string Name, string Value)[] settings)
    {
        var builder = WebApplication.CreateBuilder();
        builder.Configuration.AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Name, (string?)setting.Value)));
        builder.Configuration.AddInMemoryCollection([KeyValuePair.Create("Logging:LogLevel:Default", (string?)(Log is not null ? "Trace" : Environment.GetEnvironmentVariable("DISTTUNE_TEST_LOG") ?? "Critical"))]);
        return builder;
    }
}
