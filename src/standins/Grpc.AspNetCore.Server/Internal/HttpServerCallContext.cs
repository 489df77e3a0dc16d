using System.Net.Sockets;
using Grpc.Core;
using Grpc.Net;
using Microsoft.AspNetCore.Http;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>A call's context, read from its HTTP request.</summary>
internal sealed class HttpServerCallContext : ServerCallContext, IDisposable
{
    private readonly TaskCompletionSource _deadlinePassed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _cancellation;
    private readonly Timer? _timer;
    private readonly DateTime _deadline = DateTime.MaxValue;
    private Metadata? _requestHeaders;
    private int _ended;

    public HttpServerCallContext(HttpContext http)
    {
        HttpContext = http;
        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        if (Wire.ParseTimeout(http.Request.Headers[Wire.Timeout].FirstOrDefault()) is { } timeout)
        {
            var longest = TimeSpan.FromDays(20);
            _deadline = TimeProvider.System.GetUtcNow().UtcDateTime + (timeout < longest ? timeout : longest);
            _timer = new Timer(static state => ((HttpServerCallContext)state!).PassDeadline(), this, timeout < longest ? timeout : longest, Timeout.InfiniteTimeSpan);
        }
    }

    public HttpContext HttpContext { get; }

    public Task DeadlinePassed => _deadlinePassed.Task;

    protected override string MethodCore => HttpContext.Request.Path.Value!;

    protected override string HostCore => HttpContext.Request.Host.Value ?? "";

    protected override string PeerCore =>
        HttpContext.Connection.RemoteIpAddress is not { } address ? "unknown"
        : address.AddressFamily == AddressFamily.InterNetworkV6 ? $"ipv6:[{address}]:{HttpContext.Connection.RemotePort}"
        : $"ipv4:{address}:{HttpContext.Connection.RemotePort}";

    protected override DateTime DeadlineCore => _deadline;

    protected override Metadata RequestHeadersCore => _requestHeaders ??= ReadHeaders();

    protected override CancellationToken CancellationTokenCore => _cancellation.Token;

    protected override Metadata ResponseTrailersCore { get; } = [];

    protected override Status StatusCore { get; set; }

    protected override WriteOptions? WriteOptionsCore { get; set; }

    /// <summary>True for the first caller only: a call ends once.</summary>
    public bool TryEnd() => Interlocked.Exchange(ref _ended, 1) == 0;

    public void Dispose()
    {
        _timer?.Dispose();
        _cancellation.Dispose();
    }

    protected override Task WriteResponseHeadersAsyncCore(Metadata responseHeaders)
    {
        if (HttpContext.Response.HasStarted)
        {
            throw new InvalidOperationException("Response headers can only be sent once per call.");
        }

        foreach (var entry in responseHeaders)
        {
            HttpContext.Response.Headers.Append(entry.Key, Wire.HeaderValue(entry));
        }

        return HttpContext.Response.BodyWriter.FlushAsync(CancellationToken).AsTask();
    }

    private Metadata ReadHeaders()
    {
        var metadata = new Metadata();
        foreach (var (key, values) in HttpContext.Request.Headers)
        {
            foreach (var value in values)
            {
                Wire.AddHeader(metadata, key, value ?? "");
            }
        }

        return metadata;
    }

    private void PassDeadline()
    {
        _deadlinePassed.TrySetResult();
        try
        {
            _cancellation.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The call ended as its deadline passed.
        }
    }
}

