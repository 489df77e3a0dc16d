using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using DistTune.Core.Access;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>
/// Rows of the fault table about who may do what. Everything is tried on a run that is held in its middle: strangers are told so, the
/// journal does not move, and the run comes to the same adapter.
/// </summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed partial class AccessRows
{
    private const string RunName = "wheat";
    private const string AdminToken = "admin-token-of-the-access-rows";
    private const string ReaderToken = "reader-token-of-the-access-rows";
    private const string Key = "key-of-the-tickets-of-the-access-rows";
    private const string Wrong = "wrong-token-of-the-access-rows";
    private const int ConfigurationFault = 2;
    private static readonly string[] Hosts = ["127.0.0.1", "localhost"];
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task Tokens()
    {
        var now = TimeProvider.System.GetUtcNow();
        var issuer = new AccessTicket(Key, RunName);
        var expired = issuer.Issue(AccessRole.Worker, now.AddSeconds(-1));
        var foreign = new AccessTicket(Key, "barley").Issue(AccessRole.Worker, now.AddHours(1));
        var looking = issuer.Issue(AccessRole.Reader, now.AddHours(1));
        var joining = issuer.Issue(AccessRole.Worker, now.AddHours(1));
        await using var cluster = new FaultCluster();
        var coordinator = cluster.StartCoordinatorWith(new Dictionary<string, string>
        {
            ["DISTTUNE_ADMIN_TOKEN"] = AdminToken,
            ["DISTTUNE_READER_TOKEN"] = ReaderToken,
            ["DISTTUNE_TOKEN_KEY"] = Key,
            ["DISTTUNE_TOKEN_RUN"] = RunName,
        });
        var worker = cluster.StartWorkerWith(Environment(cluster.Port, "http", ("DISTTUNE_TOKEN", joining)));
        var (without, wrong) = (cluster.StartWorkerWith(Environment(cluster.Port, "http")), cluster.StartWorkerWith(Environment(cluster.Port, "http", ("DISTTUNE_TOKEN", Wrong))));
        await FaultCluster.HoldAtAsync(2, coordinator, [worker]);
        await EndsAsync(without, ConfigurationFault, "no join token");
        await EndsAsync(wrong, 1, "the token is not one of this run");
        var records = await SettledAsync(cluster);

        // Whoever guesses is not listened to any more, and the worker that is in has the same address.
        using var guessing = new Caller(cluster.Port, from: 1);
        var answers = new List<StatusCode>();
        for (var guess = 0; guess < 30; guess++)
        {
            answers.Add(await Caller.StatusOfAsync(guessing.Training.GetRunsAsync(new GetRunsRequest(), Caller.Bearer($"{Wrong}-{guess.ToString(CultureInfo.InvariantCulture)}"))));
        }

        Assert.Equal([StatusCode.Unauthenticated, StatusCode.ResourceExhausted], answers.Distinct());
        Assert.Equal(StatusCode.ResourceExhausted, await Caller.StatusOfAsync(guessing.Training.GetRunsAsync(new GetRunsRequest(), Caller.Bearer(joining))));

        using var caller = new Caller(cluster.Port, from: 2);
        var run = (await caller.Admin.GetStatusAsync(new GetStatusRequest(), Caller.Bearer(ReaderToken))).Runs[0];
        var stop = new StopRunRequest { RunId = run.RunId, Reason = "a stranger's wish" };
        (string What, StatusCode Expected, Func<AsyncUnaryCall<RegisterResponse>> Call)[] joins =
        [
            ("no token", StatusCode.Unauthenticated, () => caller.Training.RegisterAsync(Caller.Registration)),
            ("wrong token", StatusCode.Unauthenticated, () => caller.Training.RegisterAsync(Caller.Registration, Caller.Bearer(Wrong))),
            ("expired token", StatusCode.Unauthenticated, () => caller.Training.RegisterAsync(Caller.Registration, Caller.Bearer(expired))),
            ("token of another run", StatusCode.Unauthenticated, () => caller.Training.RegisterAsync(Caller.Registration, Caller.Bearer(foreign))),
            ("right token elsewhere in the metadata", StatusCode.Unauthenticated, () => caller.Training.RegisterAsync(Caller.Registration, new Metadata { { "x-token", joining } })),
            ("reader who joins", StatusCode.PermissionDenied, () => caller.Training.RegisterAsync(Caller.Registration, Caller.Bearer(looking))),
            ("administrator who joins", StatusCode.PermissionDenied, () => caller.Training.RegisterAsync(Caller.Registration, Caller.Bearer(AdminToken))),
        ];
        foreach (var (what, expected, call) in joins)
        {
            Assert.True(await Caller.StatusOfAsync(call()) == expected, what);
        }

        Assert.Equal(StatusCode.PermissionDenied, await Caller.StatusOfAsync(caller.Admin.GetStatusAsync(new GetStatusRequest(), Caller.Bearer(joining))));
        Assert.Equal(StatusCode.PermissionDenied, await Caller.StatusOfAsync(caller.Admin.StopRunAsync(stop, Caller.Bearer(ProcessTests.Token))));
        Assert.Equal(StatusCode.PermissionDenied, await Caller.StatusOfAsync(caller.Admin.StopRunAsync(stop, Caller.Bearer(looking))));
        Assert.Equal(StatusCode.PermissionDenied, await Caller.StatusOfAsync(caller.Admin.StopRunAsync(stop, Caller.Bearer(ReaderToken))));
        Assert.Equal(StatusCode.ResourceExhausted, await OversizedAsync(caller, joining));
        await AskInTheAddressAsync(coordinator, cluster.Port, joining);
        Assert.Equal(records, cluster.History().Entries.Count);
        string[] secrets = [ProcessTests.Token, AdminToken, ReaderToken, Key, Wrong, expired, foreign, looking, joining];
        AssertOnNoCommandLine(secrets, coordinator, worker);

        await FaultCluster.LetGoAsync([worker]);
        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        AssertNowhere(cluster, secrets);
        TableRow.Held("no token, wrong, expired, of another run, of another role; in the address or other metadata; a message of 5 MiB", "UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED; the journal did not move, no secret in any output, file or command line; same SHA-256");
        TableRow.Held("30 guesses from the address of a worker that is in", "RESOURCE_EXHAUSTED for new connections, also with a right token; the worker went on; same SHA-256");
    }

    [Fact]
    public async Task Certificates()
    {
        await using var cluster = new FaultCluster();
        var folder = Path.Combine(Path.GetDirectoryName(cluster.Run.ConfigPath)!, "certificates");
        WriteCertificates(folder);
        var http = LocalCluster.FreePort();
        var coordinator = cluster.StartCoordinatorWith(new Dictionary<string, string>(Tls(folder, "run", "run", RunCertificates.Coordinator))
        {
            // As on Kubernetes.
            ["Kestrel__Endpoints__http__Url"] = FormattableString.Invariant($"http://0.0.0.0:{http}"),
            ["Kestrel__Endpoints__http__Protocols"] = "Http1",
            ["Kestrel__Endpoints__grpc__Url"] = FormattableString.Invariant($"https://0.0.0.0:{cluster.Port}"),
            ["Kestrel__Endpoints__grpc__Protocols"] = "Http2",
        });
        var worker = Worker("run", "run", "worker");
        (ServiceProcess Stranger, string Answer)[] strangers =
        [
            (Worker("run", "other", "worker"), "the certificate was not issued by this run's authority"),
            (Worker("run", "old", "worker"), "the certificate was not issued by this run's authority for clients, or is not valid now"),
            (Worker("run", "run", RunCertificates.Coordinator), "the certificate was not issued by this run's authority for clients"),
            (Worker("run", "run", "reader"), "the role reader may not call it"),
            (Worker("other", "other", "worker"), "is not trusted"),
        ];
        await FaultCluster.HoldAtAsync(2, coordinator, [worker]);
        foreach (var (stranger, answer) in strangers)
        {
            await EndsAsync(stranger, 1, answer);
        }

        var records = await SettledAsync(cluster);
        foreach (var (role, mayLook) in new[] { ("worker", false), ("reader", true) })
        {
            using var caller = new Caller(cluster.Port, from: 2, Files(folder, role));
            Assert.Equal(mayLook ? StatusCode.OK : StatusCode.PermissionDenied, await Caller.StatusOfAsync(caller.Admin.GetStatusAsync(new GetStatusRequest())));
            Assert.Equal(StatusCode.PermissionDenied, await Caller.StatusOfAsync(caller.Admin.StopRunAsync(new StopRunRequest { RunId = "any" })));
        }

        // Probes and Prometheus have no certificate.
        using (var probe = new HttpClient())
        {
            foreach (var path in (string[])["health", "alive", "metrics"])
            {
                using var answer = await probe.GetAsync(new Uri(FormattableString.Invariant($"http://localhost:{http}/{path}")), TestContext.Current.CancellationToken);
                Assert.True(answer.IsSuccessStatusCode, path);
            }
        }

        // Nor is a worker a coordinator, or one whose certificate has ended.
        await using (var posing = new PosingServer(Files(folder, "worker").Certificate!))
        {
            await EndsAsync(Worker("run", "run", "worker", port: posing.Port), 1, "is not trusted");
        }

        Show(Path.Combine(folder, "old"), Path.Combine(folder, "run"));
        await EndsAsync(Worker("run", "run", "worker"), 1, "is not trusted");
        var renewing = cluster.StartCommand("certs", "--output", Path.Combine(folder, "run"), "--hosts", string.Join(',', Hosts), "--days", "1");
        Assert.True(await renewing.ExitCodeAsync(Patience) == 0, renewing.Output);
        Assert.Equal(records, cluster.History().Entries.Count);
        Worker("run", "run", "worker", rank: 1);
        await coordinator.PrintsAsync("Worker worker-1 joined");

        await FaultCluster.LetGoAsync([worker]);
        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        TableRow.Held("worker with a certificate of a foreign authority, one that has ended, a coordinator's, a reader's", "exit 1, UNAUTHENTICATED or PERMISSION_DENIED; the journal did not move; same SHA-256");
        TableRow.Held("server that shows a worker's certificate, coordinator that shows one that has ended", "the worker leaves with exit 1; after `disttune certs` on the same folder the next worker joins, without a restart; same SHA-256");

        ServiceProcess Worker(string trusted, string shown, string name, int rank = 0, int? port = null) => cluster.StartWorkerWith(
            new Dictionary<string, string>(Environment(port ?? cluster.Port, "https")) { ["DISTTUNE_WORKER_RANK"] = rank.ToString(CultureInfo.InvariantCulture) }
                .Concat(Tls(folder, trusted, shown, name)).ToDictionary(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("worker", "was not issued for servers")]
    [InlineData("old", "was not issued for servers")]
    [InlineData("none", "needs a certificate")]
    public async Task A_coordinator_that_no_worker_would_trust(string shown, string answer)
    {
        await using var cluster = new FaultCluster();
        var folder = Path.Combine(Path.GetDirectoryName(cluster.Run.ConfigPath)!, "certificates");
        WriteCertificates(folder);
        var tls = Tls(folder, "run", shown == "old" ? "old" : "run", shown == "worker" ? "worker" : RunCertificates.Coordinator);
        await EndsAsync(
            cluster.StartCoordinatorWith(shown == "none" ? tls.Where(pair => pair.Key == CertificateFiles.AuthorityVariable).ToDictionary(StringComparer.Ordinal) : tls), ConfigurationFault, answer);
        Assert.False(Directory.Exists(cluster.Folder));
        TableRow.Held($"coordinator started with {shown switch { "worker" => "a worker's certificate", "old" => "a certificate that has ended", _ => "an authority and no certificate" }}", "exit 2 before anything is written");
    }

    [Fact]
    public async Task A_token_that_would_leave_the_machine_without_TLS()
    {
        await using var cluster = new FaultCluster();
        var open = new Dictionary<string, string>
        {
            ["Kestrel__Endpoints__grpc__Url"] = FormattableString.Invariant($"http://0.0.0.0:{cluster.Port}"),
            ["Kestrel__Endpoints__grpc__Protocols"] = "Http2",
        };

        await EndsAsync(cluster.StartWorkerWith(new Dictionary<string, string> { ["DISTTUNE_COORDINATOR"] = "http://192.0.2.1:8081", ["DISTTUNE_TOKEN"] = Wrong }), ConfigurationFault, "could read the join token");
        await EndsAsync(cluster.StartCoordinatorWith(open), ConfigurationFault, "could read the tokens");
        Assert.False(Directory.Exists(cluster.Folder));

        // Somebody has said that the network is encrypted.
        var coordinator = cluster.StartCoordinatorWith(new Dictionary<string, string>(open) { [PlaintextTokens.Variable] = "true" });
        cluster.StartWorker(0);
        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        AssertNowhere(cluster, [ProcessTests.Token, Wrong]);
        TableRow.Held("worker with a token and an http address of another machine; coordinator that takes tokens over http from other machines", "exit 2 before anything is sent or written; with DISTTUNE_ALLOW_PLAINTEXT_TOKEN=true the run is as ever; same SHA-256");
    }

    [Fact]
    public async Task A_result_of_a_term_that_is_over()
    {
        await using var cluster = new FaultCluster();
        var first = cluster.StartCoordinator();
        await using var odd = await OddWorker.JoinAsync(cluster.Port, "odd", slots: 1);
        var grant = (await odd.HoldAsync(1))[0];
        var (gradient, outcome) = await odd.ComputeAsync(grant);
        await first.SignalAsync("KILL");
        await first.ExitCodeAsync();
        var second = cluster.StartCoordinator();
        await odd.RejoinAsync();

        var answer = await odd.PushAsync(grant, gradient, outcome);
        Assert.Equal(PushStatus.Stale, answer.Status);
        Assert.DoesNotContain(cluster.History().Entries, entry => entry.Record is GroupDone { Group.Kind: Core.Training.GroupKind.Train });
        await odd.DisposeAsync();

        cluster.StartWorker(0);
        await cluster.EndsWithTheSameAdapterAsync(second);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        TableRow.Held("result of the term before, after the coordinator was killed and is back", $"stale ({answer.Reason}), not in the journal; same SHA-256");
    }

    private static async Task EndsAsync(ServiceProcess process, int exitCode, string answer)
    {
        Assert.True(await process.ExitCodeAsync(Patience) == exitCode, process.Output);
        Assert.Contains(answer, process.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", process.Output, StringComparison.Ordinal);
    }

    // What the workers had sent before they were held may still be on its way into the journal.
    private static async Task<int> SettledAsync(FaultCluster cluster)
    {
        var (before, now) = (-1, 0);
        while (before != now)
        {
            before = now;
            await Task.Delay(500, TestContext.Current.CancellationToken);
            now = cluster.History().Entries.Count;
        }

        return now;
    }

    private static async Task<StatusCode> OversizedAsync(Caller caller, string token)
    {
        using var push = caller.Training.Push(Caller.Bearer(token));
        // The answer comes before everything was sent, and then the write may never end. Disposing of the call ends it.
        await Task.WhenAny(push.ResponseAsync, push.RequestStream.WriteAsync(new PushPart { Chunk = new Chunk { Data = ByteString.CopyFrom(new byte[5 << 20]) } }));
        return (await Assert.ThrowsAsync<RpcException>(async () => await push.ResponseAsync)).StatusCode;
    }

    // A token is no part of an address, and whoever puts it there all the same does not find it in a log.
    private static async Task AskInTheAddressAsync(ServiceProcess coordinator, int grpcPort, string token)
    {
        using var client = new HttpClient { DefaultRequestVersion = new Version(2, 0), DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };
        using var call = new HttpRequestMessage(HttpMethod.Post, FormattableString.Invariant($"http://localhost:{grpcPort}/disttune.v1.Training/GetRuns?token={token}"))
        {
            Version = new Version(2, 0),
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(new byte[5]) { Headers = { ContentType = new("application/grpc") } },
        };
        using var answer = await client.SendAsync(call, TestContext.Current.CancellationToken);
        Assert.Equal([((int)StatusCode.ResourceExhausted).ToString(CultureInfo.InvariantCulture)], answer.Headers.TryGetValues("grpc-status", out var status) ? status : answer.TrailingHeaders.GetValues("grpc-status"));

        using var http = new HttpClient();
        var address = Listening().Matches(coordinator.Output).Select(match => match.Groups[1].Value).Single(address => !address.EndsWith(FormattableString.Invariant($":{grpcPort}"), StringComparison.Ordinal));
        Assert.True((await http.GetAsync(new Uri($"{address}/health?token={token}"), TestContext.Current.CancellationToken)).IsSuccessStatusCode);
    }

    private static void AssertOnNoCommandLine(string[] secrets, params ServiceProcess[] processes)
    {
        foreach (var line in processes.Where(_ => OperatingSystem.IsLinux()).Select(process => File.ReadAllText(FormattableString.Invariant($"/proc/{process.Id}/cmdline"))))
        {
            Assert.All(secrets, secret => Assert.DoesNotContain(secret, line, StringComparison.Ordinal));
        }
    }

    private static void AssertNowhere(FaultCluster cluster, string[] secrets)
    {
        Assert.All(secrets, secret => Assert.DoesNotContain(secret, cluster.Printed, StringComparison.Ordinal));
        foreach (var file in Directory.EnumerateFiles(Path.GetDirectoryName(cluster.Run.ConfigPath)!, "*", SearchOption.AllDirectories))
        {
            var content = File.ReadAllBytes(file);
            Assert.All(secrets, secret => Assert.True(content.AsSpan().IndexOf(Encoding.UTF8.GetBytes(secret)) < 0, file));
        }
    }

    private static Dictionary<string, string> Environment(int port, string scheme, params (string Name, string Value)[] more)
    {
        var environment = new Dictionary<string, string> { ["DISTTUNE_COORDINATOR"] = FormattableString.Invariant($"{scheme}://127.0.0.1:{port}"), ["DISTTUNE_THREADS"] = "1" };
        foreach (var (name, value) in more)
        {
            environment[name] = value;
        }

        return environment;
    }

    // The run's authority and its certificates; others of it that ended a day ago; and those of another authority.
    private static void WriteCertificates(string folder)
    {
        var now = TimeProvider.System.GetUtcNow();
        var (run, old) = (Path.Combine(folder, "run"), Path.Combine(folder, "old"));
        Directory.CreateDirectory(folder);
        RunCertificates.Write(run, Hosts, TimeSpan.FromDays(30), now.AddDays(-3));
        RunCertificates.Write(run, Hosts, TimeSpan.FromDays(1), now.AddDays(-2));
        Directory.CreateDirectory(old);
        foreach (var file in Directory.EnumerateFiles(run))
        {
            File.Copy(file, Path.Combine(old, Path.GetFileName(file)));
        }

        RunCertificates.Write(run, Hosts, TimeSpan.FromDays(1), now);
        RunCertificates.Write(Path.Combine(folder, "other"), Hosts, TimeSpan.FromDays(1), now);
    }

    private static void Show(string from, string folder)
    {
        foreach (var file in (string[])[$"{RunCertificates.Coordinator}-key.pem", $"{RunCertificates.Coordinator}.pem"])
        {
            File.Copy(Path.Combine(from, file), Path.Combine(folder, file), overwrite: true);
        }
    }

    private static Dictionary<string, string> Tls(string folder, string trusted, string shown, string name) => new()
    {
        [CertificateFiles.AuthorityVariable] = Path.Combine(folder, trusted, RunCertificates.AuthorityFile),
        [CertificateFiles.CertificateVariable] = Path.Combine(folder, shown, $"{name}.pem"),
        [CertificateFiles.KeyVariable] = Path.Combine(folder, shown, $"{name}-key.pem"),
    };

    private static CertificateFiles Files(string folder, string name) => CertificateFiles.FromEnvironment(Tls(folder, "run", "run", name).GetValueOrDefault)!;

    [GeneratedRegex(@"Now listening on: (http://\S+)")]
    private static partial Regex Listening();
}
