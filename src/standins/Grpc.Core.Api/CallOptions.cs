namespace Grpc.Core;

/// <summary>Credentials of one call; the stand-in knows none but the type.</summary>
public abstract class CallCredentials;

/// <summary>Context handed from a server's call to a client's; the stand-in knows none but the type.</summary>
public abstract class ContextPropagationToken
{
    internal ContextPropagationToken()
    {
    }
}

/// <summary>Options of one call.</summary>
public struct CallOptions
{
    /// <summary>Creates options.</summary>
    public CallOptions(
        Metadata? headers = null,
        DateTime? deadline = null,
        CancellationToken cancellationToken = default,
        WriteOptions? writeOptions = null,
        ContextPropagationToken? propagationToken = null,
        CallCredentials? credentials = null)
    {
        Headers = headers;
        Deadline = deadline;
        CancellationToken = cancellationToken;
        WriteOptions = writeOptions;
        PropagationToken = propagationToken;
        Credentials = credentials;
    }

    /// <summary>Request headers.</summary>
    public Metadata? Headers { get; private set; }

    /// <summary>When the call must have ended, in UTC.</summary>
    public DateTime? Deadline { get; private set; }

    /// <summary>Cancels the call.</summary>
    public CancellationToken CancellationToken { get; private set; }

    /// <summary>Options of the call's writes.</summary>
    public WriteOptions? WriteOptions { get; private set; }

    /// <summary>Context of a parent call.</summary>
    public ContextPropagationToken? PropagationToken { get; private set; }

    /// <summary>The call's credentials.</summary>
    public CallCredentials? Credentials { get; private set; }

    /// <summary>The same options with other headers.</summary>
    public CallOptions WithHeaders(Metadata headers) => this with { Headers = headers };

    /// <summary>The same options with another deadline.</summary>
    public CallOptions WithDeadline(DateTime deadline) => this with { Deadline = deadline };

    /// <summary>The same options with another token.</summary>
    public CallOptions WithCancellationToken(CancellationToken cancellationToken) => this with { CancellationToken = cancellationToken };
}
