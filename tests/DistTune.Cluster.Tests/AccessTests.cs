using System.Net.Security;
using DistTune.Coordinator;
using DistTune.Core;
using DistTune.Core.Access;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using DistTune.Worker;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTune.Cluster.Tests;

/// <summary>Who may do what, over real TLS on the loopback: strangers are told so, and nothing changes.</summary>
public sealed class AccessTests : IDisposable
{
    private const string Key = "the-key-that-signs-the-tickets-of-the-test";
    private const string Run = "wheat";
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(30), SessionOpensWithin = TimeSpan.FromMinutes(2) };
    private static readonly StatusCode[] NoAnswer = [StatusCode.Internal, StatusCode.Unavailable];
    private static readonly string[] Hosts = ["127.0.0.1", "localhost"];
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-access-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Certificates_of_the_run_train_it_and_each_role_does_its_own()
    {
        Certificates("run");
        await using var cluster = await StartAsync();
        using var worker = Channel(cluster, "run", "worker");
        using var reader = Channel(cluster, "run", "reader");
        using var admin = Channel(cluster, "run", "admin");

        Assert.Single((await new Training.TrainingClient(worker).GetRunsAsync(new GetRunsRequest())).Runs);
        Assert.Single((await new Admin.AdminClient(reader).GetStatusAsync(new GetStatusRequest())).Runs);
        Assert.Single((await new Admin.AdminClient(admin).GetStatusAsync(new GetStatusRequest())).Runs);
        StatusCode[] refused =
        [
            await StatusOfAsync(new Admin.AdminClient(worker).GetStatusAsync(new GetStatusRequest())),
            await StatusOfAsync(new Admin.AdminClient(worker).StopRunAsync(new StopRunRequest { RunId = "run" })),
            await StatusOfAsync(new Admin.AdminClient(reader).StopRunAsync(new StopRunRequest { RunId = "run" })),
            await StatusOfAsync(new Training.TrainingClient(reader).RegisterAsync(Registration())),
            await StatusOfAsync(new Training.TrainingClient(admin).RegisterAsync(Registration())),
        ];

        Assert.All(refused, code => Assert.Equal(StatusCode.PermissionDenied, code));
        Assert.Empty(cluster.Registry.Workers);
        Assert.Null(cluster.Registry.Runs[0].Run.Failure);

        await cluster.StartWorkerAsync(token: null, tls: Files("run", "worker"));
        await cluster.CoordinatorEndsAsync();
        Assert.Equal(0, cluster.CoordinatorExitCode);
    }

    [Theory]
    [InlineData("worker")]
    [InlineData("admin")]
    [InlineData("coordinator")]
    public async Task A_certificate_of_another_authority_is_nobody(string name)
    {
        Certificates("run");
        Certificates("other");
        await using var cluster = await StartAsync();

        // It trusts the run's authority and shows a certificate of another one; a right token beside it does not help.
        using var channel = Channel(cluster, "run", name, shown: "other");
        var headers = new Metadata { { "authorization", $"Bearer {LocalCluster.Token}" } };

        Assert.Equal(StatusCode.Unauthenticated, await StatusOfAsync(new Training.TrainingClient(channel).RegisterAsync(Registration(), headers)));
        Assert.Equal(StatusCode.Unauthenticated, await StatusOfAsync(new Admin.AdminClient(channel).StopRunAsync(new StopRunRequest { RunId = "run" })));
        Assert.Empty(cluster.Registry.Workers);
    }

    [Fact]
    public async Task A_worker_does_not_speak_to_a_coordinator_of_another_authority_nor_to_a_worker_that_poses_as_one()
    {
        Certificates("run");
        Certificates("other");
        var impostor = Read(CertificateFiles.FromEnvironment, "run", "ca.pem", "worker.pem", "worker-key.pem");
        await using var stranger = await StartAsync();
        await using var posing = await StartAsync(impostor);

        using var toStranger = Channel(stranger, "other", "worker");
        using var toPosing = Channel(posing, "run", "worker");

        Assert.Contains(await StatusOfAsync(new Training.TrainingClient(toStranger).RegisterAsync(Registration())), NoAnswer);
        Assert.Contains(await StatusOfAsync(new Training.TrainingClient(toPosing).RegisterAsync(Registration())), NoAnswer);
        Assert.Empty(stranger.Registry.Workers);
        var worker = await stranger.StartWorkerAsync(token: null, tls: Files("other", "worker"));
        await LocalCluster.EndsAsync(worker);
        Assert.Equal(1, LocalCluster.ExitCodeOf(worker));
    }

    [Fact]
    public async Task A_signed_token_is_for_one_run_one_role_and_a_while_and_is_never_logged()
    {
        Certificates("run");
        using var log = new LogLines();
        await using var cluster = await StartAsync(log: log);
        using var channel = Channel(cluster, "run", name: null);
        var client = new Training.TrainingClient(channel);
        var now = TimeProvider.System.GetUtcNow();
        var issuer = new AccessTicket(Key, Run);
        (string Token, StatusCode Expected)[] cases =
        [
            (issuer.Issue(AccessRole.Worker, now.AddSeconds(-1)), StatusCode.Unauthenticated),
            (new AccessTicket(Key, "barley").Issue(AccessRole.Worker, now.AddHours(1)), StatusCode.Unauthenticated),
            (new AccessTicket(Key + "x", Run).Issue(AccessRole.Worker, now.AddHours(1)), StatusCode.Unauthenticated),
            (issuer.Issue(AccessRole.Worker, now.AddHours(1)) + "A", StatusCode.Unauthenticated),
            ("dtt1..", StatusCode.Unauthenticated),
            ("dtt1.%%%.%%%", StatusCode.Unauthenticated),
            (issuer.Issue(AccessRole.Admin, now.AddHours(1)), StatusCode.PermissionDenied),
            (issuer.Issue(AccessRole.Reader, now.AddHours(1)), StatusCode.PermissionDenied),
        ];
        foreach (var (token, expected) in cases)
        {
            Assert.Equal(expected, await StatusOfAsync(client.RegisterAsync(Registration(), Bearer(token))));
        }

        Assert.Equal(StatusCode.Unauthenticated, await StatusOfAsync(client.RegisterAsync(Registration())));
        Assert.Empty(cluster.Registry.Workers);
        var valid = issuer.Issue(AccessRole.Worker, now.AddHours(1));
        Assert.Single((await client.GetRunsAsync(new GetRunsRequest(), Bearer(valid))).Runs);
        Assert.Contains("was refused", log.Text, StringComparison.Ordinal);
        Assert.Contains("expired", log.Text, StringComparison.Ordinal);
        Assert.All(cases.Select(item => item.Token).Append(valid).Append(LocalCluster.Token).Append(Key).Where(token => token.Length > 20), token => Assert.DoesNotContain(token, log.Text, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_peer_that_fails_too_often_is_not_listened_to_and_disturbs_nobody_who_is_in()
    {
        Certificates("run");
        await using var cluster = await StartAsync();
        using var inside = Channel(cluster, "run", "worker");
        using var outside = Channel(cluster, "run", name: null);
        await new Training.TrainingClient(inside).GetRunsAsync(new GetRunsRequest());
        var guessing = new Training.TrainingClient(outside);

        for (var i = 0; i < FailedJoins.Most; i++)
        {
            Assert.Equal(StatusCode.Unauthenticated, await StatusOfAsync(guessing.GetRunsAsync(new GetRunsRequest(), Bearer($"guess {i}"))));
        }

        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(guessing.GetRunsAsync(new GetRunsRequest(), Bearer(LocalCluster.Token))));
        Assert.Single((await new Training.TrainingClient(inside).GetRunsAsync(new GetRunsRequest())).Runs);

        // A certificate cannot be guessed: behind the same address it opens the door to who comes later, too.
        using var late = Channel(cluster, "run", "worker");
        Assert.Single((await new Training.TrainingClient(late).GetRunsAsync(new GetRunsRequest())).Runs);
    }

    [Fact]
    public async Task A_token_that_was_taken_stays_so_on_its_connection()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create());
        using var inside = GrpcChannel.ForAddress(cluster.Address);
        using var outside = GrpcChannel.ForAddress(cluster.Address, new GrpcChannelOptions { DisposeHttpClient = true, HttpHandler = new SocketsHttpHandler() });
        var (working, guessing) = (new Training.TrainingClient(inside), new Training.TrainingClient(outside));
        await working.GetRunsAsync(new GetRunsRequest(), Bearer(LocalCluster.Token));

        for (var i = 0; i < FailedJoins.Most; i++)
        {
            Assert.Equal(StatusCode.Unauthenticated, await StatusOfAsync(guessing.GetRunsAsync(new GetRunsRequest())));
        }

        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(guessing.GetRunsAsync(new GetRunsRequest(), Bearer(LocalCluster.Token))));
        Assert.Single((await working.GetRunsAsync(new GetRunsRequest(), Bearer(LocalCluster.Token))).Runs);
    }

    [Fact]
    public async Task Renewed_certificates_are_served_without_a_restart()
    {
        Certificates("run");
        await using var cluster = await StartAsync();
        var before = await ServedAsync(cluster);

        await Task.Delay(20, TestContext.Current.CancellationToken);
        Certificates("run");
        var after = await ServedAsync(cluster);

        Assert.NotEqual(before, after);
        using var channel = Channel(cluster, "run", "worker");
        Assert.Single((await new Training.TrainingClient(channel).GetRunsAsync(new GetRunsRequest())).Runs);
    }

    [Fact]
    public void Files_that_are_renewed_behind_links_as_Kubernetes_does_it_are_taken()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a privilege there.");
        Certificates("first");
        Certificates("second");
        var mount = Directory.CreateDirectory(Path.Combine(_folder, "mount")).FullName;
        Directory.CreateSymbolicLink(Path.Combine(mount, "..data"), Path.Combine(_folder, "first"));
        foreach (var name in (string[])["ca.pem", "worker.pem", "worker-key.pem"])
        {
            File.CreateSymbolicLink(Path.Combine(mount, name), Path.Combine("..data", name));
        }

        var files = Files("mount", "worker");
        var before = files.Certificate!.Thumbprint;
        Directory.Delete(Path.Combine(mount, "..data"));
        Directory.CreateSymbolicLink(Path.Combine(mount, "..data"), Path.Combine(_folder, "second"));

        Assert.NotEqual(before, files.Certificate!.Thumbprint);
        Assert.Equal(Files("second", "worker").Certificate!.Thumbprint, files.Certificate!.Thumbprint);
    }

    [Fact]
    public async Task Messages_that_are_too_large_or_hold_too_much_are_refused()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create());
        var headers = Bearer(LocalCluster.Token);

        // A connection each: the transport may close one whose caller still sends to a call that was answered.
        using var first = GrpcChannel.ForAddress(cluster.Address);
        using var second = GrpcChannel.ForAddress(cluster.Address, new GrpcChannelOptions { DisposeHttpClient = true, HttpHandler = new SocketsHttpHandler() });
        var client = new Training.TrainingClient(first);
        var session = (await client.RegisterAsync(Registration(), headers)).SessionId;
        using var huge = new Training.TrainingClient(second).Push(headers);
        using var many = client.Session(headers);

        // Its write may never end: it waits for a window that nobody opens after the answer.
        await Task.WhenAny(huge.ResponseAsync, WriteAsync(huge.RequestStream, new PushPart { Chunk = new Chunk { Data = ByteString.CopyFrom(new byte[5 << 20]) } }));
        await WriteAsync(many.RequestStream, new SessionReport { SessionId = session, Progress = { Enumerable.Repeat(new GroupReference(), 100_000) } });
        var register = Registration();
        register.Fingerprint.ComputeLibrary = new string('x', 100_000);

        Assert.Equal(StatusCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(async () => await huge.ResponseAsync)).StatusCode);
        Assert.Equal(StatusCode.ResourceExhausted, await EndOfAsync(many.ResponseStream));
        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(client.RegisterAsync(register, headers)));
    }

    [Fact]
    public void Keys_are_readable_by_their_owner_alone()
    {
        Certificates("run");

        var files = Directory.GetFiles(Path.Combine(_folder, "run"));
        Assert.Equal(10, files.Length);
        Assert.All(files, file => Assert.True(OperatingSystem.IsWindows() || File.GetUnixFileMode(file) == (UnixFileMode.UserRead | UnixFileMode.UserWrite)));
    }

    [Fact]
    public void Half_a_configuration_is_refused_with_its_cure()
    {
        Certificates("run");
        var certificate = Path.Combine(_folder, "run", "worker.pem");

        var half = Assert.Throws<DistTuneException>(() => CertificateFiles.FromEnvironment(name => name == CertificateFiles.CertificateVariable ? certificate : null));
        var missing = Assert.Throws<DistTuneException>(() => CertificateFiles.FromEnvironment(name => name == CertificateFiles.AuthorityVariable ? certificate + "x" : null));
        var plain = Assert.Throws<DistTuneException>(() => WorkerOptions.FromEnvironment(
            name => name switch { "DISTTUNE_COORDINATOR" => "http://10.0.0.1:1", "DISTTUNE_TOKEN" => "t", CertificateFiles.AuthorityVariable => certificate, _ => null }, 1));

        Assert.Contains(CertificateFiles.KeyVariable, half.Message, StringComparison.Ordinal);
        Assert.Contains("disttune certs", missing.Message, StringComparison.Ordinal);
        Assert.Contains("https", plain.Message, StringComparison.Ordinal);
    }

    private static RegisterRequest Registration() => new()
    {
        Worker = "by-hand",
        Slots = 1,
        Fingerprint = TrainingMapping.ToMessage(FakePlan.Fingerprint(library: "fake 1")),
    };

    private static Metadata Bearer(string token) => new() { { "authorization", $"Bearer {token}" } };

    private static async Task<StatusCode> StatusOfAsync<T>(AsyncUnaryCall<T> call)
    {
        using (call)
        {
            return (await Assert.ThrowsAsync<RpcException>(async () => await call)).StatusCode;
        }
    }

    private static async Task<StatusCode> EndOfAsync(IAsyncStreamReader<SessionCommand> commands) => (await Assert.ThrowsAsync<RpcException>(async () =>
    {
        while (await commands.MoveNext(TestContext.Current.CancellationToken))
        {
        }
    })).StatusCode;

    // The server may answer before it has read everything; its answer is what counts.
    private static async Task WriteAsync<T>(IClientStreamWriter<T> stream, T message)
    {
        try
        {
            await stream.WriteAsync(message);
        }
        catch (Exception fault) when (fault is RpcException or IOException or InvalidOperationException)
        {
            return;
        }
    }

    private static async Task<string> ServedAsync(LocalCluster cluster)
    {
        using var client = new System.Net.Sockets.TcpClient();
        await client.ConnectAsync("127.0.0.1", cluster.GrpcPort, TestContext.Current.CancellationToken);
        await using var tls = new SslStream(client.GetStream(), false, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync("localhost");
        return tls.RemoteCertificate!.GetCertHashString();
    }

    private async Task<LocalCluster> StartAsync(CertificateFiles? tls = null, LogLines? log = null)
    {
        var cluster = new LocalCluster
        {
            Log = log,
            Configure = setup => setup with { Tls = tls ?? Files("run", RunCertificates.Coordinator), Tickets = new AccessTicket(Key, Run) },
        };
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create());
        return cluster;
    }

    private void Certificates(string name) => RunCertificates.Write(Path.Combine(_folder, name), Hosts, TimeSpan.FromDays(1), TimeProvider.System.GetUtcNow());

    private CertificateFiles Files(string authority, string name) => Read(CertificateFiles.FromEnvironment, authority, "ca.pem", $"{name}.pem", $"{name}-key.pem");

    private CertificateFiles Read(Func<Func<string, string?>, CertificateFiles?> read, string authority, string ca, string certificate, string key) => read(name => Path.Combine(_folder, authority, name switch
    {
        CertificateFiles.AuthorityVariable => ca,
        CertificateFiles.CertificateVariable => certificate,
        _ => key,
    }))!;

    private GrpcChannel Channel(LocalCluster cluster, string trusted, string? name, string? shown = null)
    {
        var ssl = new SslClientAuthenticationOptions { CertificateChainPolicy = Files(trusted, "worker").Policy(server: true) };
        if (name is not null)
        {
            var own = Files(shown ?? trusted, name).Certificate!;
            ssl.LocalCertificateSelectionCallback = (_, _, _, _, _) => own;
        }

        return GrpcChannel.ForAddress(new UriBuilder(cluster.Address) { Scheme = "https" }.Uri, new GrpcChannelOptions
        {
            DisposeHttpClient = true,
            HttpHandler = new SocketsHttpHandler { SslOptions = ssl },
        });
    }
}
