using System.Net.Security;
using System.Security.Authentication;
using DistTune.Core;
using DistTune.Core.Access;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTune.Worker;

/// <summary>The coordinator's service with the join token on every call and a deadline on every unary one.</summary>
internal sealed class CoordinatorClient : IDisposable
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);

    // A network that parts the two closes nothing. After five seconds of silence one asks, after five more one connects again.
    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    // Long enough for a chunk of 256 KiB over the slowest line that is worth working over.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromMinutes(1);

    // The channel fails calls at once while it pauses. How often a coordinator that is away is called is for the retry to say.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(200);
    private readonly GrpcChannel _channel;
    private readonly Training.TrainingClient _client;
    private readonly Metadata _headers;
    private readonly TimeProvider _time;
    private readonly Uri _address;

    public CoordinatorClient(WorkerOptions options, TimeProvider time)
    {
        _time = time;
        _address = options.Coordinator;
        _headers = options.Token is { } token ? new Metadata { { "authorization", $"Bearer {token}" } } : [];
        _channel = GrpcChannel.ForAddress(options.Coordinator, new GrpcChannelOptions
        {
            DisposeHttpClient = true,
            InitialReconnectBackoff = FirstPause,
            MaxReconnectBackoff = LongestPause,
            HttpHandler = new SocketsHttpHandler
            {
                EnableMultipleHttp2Connections = true,
                ConnectTimeout = ConnectTimeout,
                KeepAlivePingDelay = KeepAlive,
                KeepAlivePingTimeout = KeepAlive,

                // Through a proxy only inside of TLS: it would read the token, and even a call to this machine would go there.
                UseProxy = options.Coordinator.Scheme == Uri.UriSchemeHttps,
                SslOptions = Tls(options),
            },
        });
        _client = new Training.TrainingClient(_channel);
    }

    // The certificates are read at every connection, so that renewed ones are taken. The host's name is checked as ever.
    private static SslClientAuthenticationOptions Tls(WorkerOptions options)
    {
        var ssl = new SslClientAuthenticationOptions();
        if (options.Tls is { } tls)
        {
            ssl.CertificateChainPolicy = tls.Policy(server: true);
            if (tls.Certificate is { } first)
            {
                ssl.LocalCertificateSelectionCallback = (_, _, _, _, _) => tls.Certificate ?? first;
            }
        }

        return ssl;
    }

    /// <summary>Whether calling again may help: the coordinator is away or restarting.</summary>
    public static bool IsTransient(Exception fault) => IsLost(fault) && fault is not RpcException { StatusCode: StatusCode.Aborted };

    /// <summary>Whether the session is lost: the connection broke, or the coordinator doesn't know the session any more.</summary>
    public static bool IsLost(Exception fault) => fault switch
    {
        RpcException answer => FaultStatus.ToFault(answer) is null,

        // A write into a connection that is just breaking surfaces as the transport's own exception.
        HttpRequestException or IOException => true,
        _ => false,
    };

    public async Task<GetRunsResponse> GetRunsAsync(string worker, CancellationToken cancellationToken) =>
        await KnownAsync(_client.GetRunsAsync(new GetRunsRequest { Worker = worker }, Options(CallTimeout, cancellationToken)));

    public async Task<RegisterResponse> RegisterAsync(RegisterRequest request, CancellationToken cancellationToken) =>
        await KnownAsync(_client.RegisterAsync(request, Options(CallTimeout, cancellationToken)));

    public AsyncDuplexStreamingCall<SessionReport, SessionCommand> OpenSession(CancellationToken cancellationToken) =>
        _client.Session(new CallOptions(_headers, cancellationToken: cancellationToken));

    public async Task<PullResponse> PullAsync(PullRequest request, CancellationToken cancellationToken) =>
        await _client.PullAsync(request, Options(CallTimeout + TimeSpan.FromMilliseconds(request.WaitMilliseconds), cancellationToken));

    public AsyncServerStreamingCall<Chunk> GetAdapter(GetAdapterRequest request, CancellationToken cancellationToken) =>
        _client.GetAdapter(request, new CallOptions(_headers, cancellationToken: cancellationToken));

    /// <summary>Waits for the next message of a stream that brings them one after the other; one that falls silent is given up.</summary>
    public async Task<bool> NextAsync<T>(IAsyncStreamReader<T> stream, CancellationToken cancellationToken)
    {
        using var silence = new CancellationTokenSource(LongestSilence, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, silence.Token);
        try
        {
            return await stream.MoveNext(either.Token).ConfigureAwait(false);
        }
        catch (RpcException answer) when (answer.StatusCode == StatusCode.Cancelled && silence.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.DeadlineExceeded, FormattableString.Invariant($"the coordinator sent nothing for {LongestSilence.TotalSeconds} s")));
        }
    }

    public AsyncClientStreamingCall<PushPart, PushAck> OpenPush(CancellationToken cancellationToken) =>
        _client.Push(new CallOptions(_headers, cancellationToken: cancellationToken));

    public async Task<QueryUploadResponse> QueryUploadAsync(QueryUploadRequest request, CancellationToken cancellationToken) =>
        await _client.QueryUploadAsync(request, Options(CallTimeout, cancellationToken));

    public async Task ReportFailureAsync(ReportFailureRequest request, CancellationToken cancellationToken) =>
        await _client.ReportFailureAsync(request, Options(CallTimeout, cancellationToken));

    public async Task DrainAsync(string sessionId, CancellationToken cancellationToken) =>
        await _client.DrainAsync(new DrainRequest { SessionId = sessionId }, Options(CallTimeout, cancellationToken));

    public async Task LeaveAsync(string sessionId, string reason, CancellationToken cancellationToken) =>
        await _client.LeaveAsync(new LeaveRequest { SessionId = sessionId, Reason = reason }, Options(CallTimeout, cancellationToken));

    // Calling again does not make a stranger the coordinator.
    private async Task<T> KnownAsync<T>(AsyncUnaryCall<T> call)
    {
        using (call)
        {
            try
            {
                return await call;
            }
            catch (RpcException answer) when (answer.Status.DebugException is HttpRequestException { InnerException: AuthenticationException stranger })
            {
                throw new DistTuneException(
                    FaultKind.Unauthenticated,
                    $"The coordinator at {_address} is not trusted: {stranger.Message} Set {CertificateFiles.AuthorityVariable} to the authority that its certificate is of, and use a name that the certificate has (disttune certs --hosts).",
                    answer);
            }
        }
    }

    public void Dispose() => _channel.Dispose();

    private CallOptions Options(TimeSpan timeout, CancellationToken cancellationToken) =>
        new(_headers, (_time.GetUtcNow() + timeout).UtcDateTime, cancellationToken);
}
