using System.Globalization;
using Grpc.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace DistTune.Coordinator;

/// <summary>
/// How many connections and calls there may be at a time. Each connection has a share of its own, so that a worker is heard whatever
/// others do; who needs more takes it from what all share. A call beyond that is answered at once, with RESOURCE_EXHAUSTED, and nothing
/// of it is read.
/// </summary>
internal sealed class CallLimits
{
    /// <summary>Connections at a time; further ones are closed as they come.</summary>
    public const int MostConnections = 1024;

    /// <summary>Calls that every connection may have.</summary>
    public const int CallsOfEach = 16;

    /// <summary>Calls beyond those of each connection, together.</summary>
    public const int CallsOfAll = 4096;

    // A lane has one call at a time, a session one; a worker with more lanes opens further connections.
    private const int StreamsOfEach = 128;
    private const int WindowOfConnection = 1 << 20;
    private const int WindowOfStream = 768 << 10;
    private const int HeaderBytes = 16 << 10;
    private const int UnsentBytes = 64 << 10;
    private static readonly TimeSpan HeadersWithin = TimeSpan.FromSeconds(10);
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _open = new(StringComparer.Ordinal);
    private int _shared;

    /// <summary>Sets what the transport itself bounds: connections, streams, headers, and what it buffers of each.</summary>
    public static void Apply(KestrelServerLimits limits)
    {
        limits.MaxConcurrentConnections = MostConnections;
        limits.MaxRequestHeadersTotalSize = HeaderBytes;
        limits.MaxResponseBufferSize = UnsentBytes;
        limits.RequestHeadersTimeout = HeadersWithin;
        limits.Http2.MaxStreamsPerConnection = StreamsOfEach;
        limits.Http2.MaxRequestHeaderFieldSize = HeaderBytes;
        limits.Http2.InitialConnectionWindowSize = WindowOfConnection;
        limits.Http2.InitialStreamWindowSize = WindowOfStream;
    }

    /// <summary>Lets a request through, or refuses it.</summary>
    public async Task AroundAsync(HttpContext context, RequestDelegate next)
    {
        if (context.Request.ContentType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) != true)
        {
            await next(context);
            return;
        }

        var connection = context.Connection.Id;
        if (!TryEnter(connection))
        {
            context.Response.ContentType = "application/grpc";
            context.Response.Headers["grpc-status"] = ((int)StatusCode.ResourceExhausted).ToString(CultureInfo.InvariantCulture);
            context.Response.Headers["grpc-message"] = "Too many calls at a time; end some or call again later.";
            return;
        }

        try
        {
            await next(context);
        }
        finally
        {
            Leave(connection);
        }
    }

    private bool TryEnter(string connection)
    {
        lock (_gate)
        {
            var own = _open.GetValueOrDefault(connection);
            if (own >= CallsOfEach && _shared == CallsOfAll)
            {
                return false;
            }

            _shared += own >= CallsOfEach ? 1 : 0;
            _open[connection] = own + 1;
            return true;
        }
    }

    private void Leave(string connection)
    {
        lock (_gate)
        {
            var own = _open[connection] - 1;
            _shared -= own >= CallsOfEach ? 1 : 0;
            if (own == 0)
            {
                _open.Remove(connection);
            }
            else
            {
                _open[connection] = own;
            }
        }
    }
}
