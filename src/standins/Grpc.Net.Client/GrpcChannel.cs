using System.Net;
using Grpc.Core;
using Grpc.Net.Client.Internal;

namespace Grpc.Net.Client;

/// <summary>Options of a channel.</summary>
public sealed class GrpcChannelOptions
{
    /// <summary>Handler that sends the requests; the channel makes one if null.</summary>
    public HttpMessageHandler? HttpHandler { get; set; }

    /// <summary>Client that sends the requests, instead of a handler.</summary>
    public HttpClient? HttpClient { get; set; }

    /// <summary>Whether the channel disposes a handler or client that it was given.</summary>
    public bool DisposeHttpClient { get; set; }

    /// <summary>Longest message that is accepted, in bytes; 4 MB by default, null for no limit.</summary>
    public int? MaxReceiveMessageSize { get; set; } = Frame.DefaultMaxReceiveLength;

    /// <summary>Longest message that is sent, in bytes; null for no limit.</summary>
    public int? MaxSendMessageSize { get; set; }

    /// <summary>Pause after a connection that failed; without effect here, where every call connects if it must.</summary>
    public TimeSpan InitialReconnectBackoff { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest such pause; without effect here.</summary>
    public TimeSpan? MaxReconnectBackoff { get; set; } = TimeSpan.FromSeconds(120);

    /// <summary>Whether a cancelled call throws <see cref="OperationCanceledException"/> rather than <see cref="RpcException"/>.</summary>
    public bool ThrowOperationCanceledOnCancellation { get; set; }
}

/// <summary>A connection to a gRPC server; shared by any number of clients and calls at once.</summary>
public sealed class GrpcChannel : ChannelBase, IDisposable
{
    private readonly HttpMessageInvoker _invoker;
    private readonly bool _ownsInvoker;

    private GrpcChannel(Uri address, GrpcChannelOptions options)
        : base(address.Authority)
    {
        if (options is { HttpClient: not null, HttpHandler: not null })
        {
            throw new ArgumentException("HttpClient and HttpHandler have been configured. Only one HTTP caller can be specified.");
        }

        Address = address;
        Options = options;
        _invoker = options.HttpClient ?? new HttpMessageInvoker(
            options.HttpHandler ?? new SocketsHttpHandler { EnableMultipleHttp2Connections = true, AutomaticDecompression = DecompressionMethods.None },
            disposeHandler: options.HttpHandler is null || options.DisposeHttpClient);
        _ownsInvoker = options.HttpClient is null || options.DisposeHttpClient;
    }

    internal Uri Address { get; }

    internal GrpcChannelOptions Options { get; }

    /// <summary>Opens a channel; connections are made when calls need them.</summary>
    public static GrpcChannel ForAddress(string address) => ForAddress(address, new GrpcChannelOptions());

    /// <summary>Opens a channel with options.</summary>
    public static GrpcChannel ForAddress(string address, GrpcChannelOptions channelOptions) => ForAddress(new Uri(address), channelOptions);

    /// <summary>Opens a channel; connections are made when calls need them.</summary>
    public static GrpcChannel ForAddress(Uri address) => ForAddress(address, new GrpcChannelOptions());

    /// <summary>Opens a channel with options.</summary>
    public static GrpcChannel ForAddress(Uri address, GrpcChannelOptions channelOptions)
    {
        ArgumentNullException.ThrowIfNull(address);
        ArgumentNullException.ThrowIfNull(channelOptions);
        return new GrpcChannel(address, channelOptions);
    }

    /// <inheritdoc/>
    public override CallInvoker CreateCallInvoker() => new HttpCallInvoker(this);

    /// <summary>Closes the channel's connections; calls under way are cancelled.</summary>
    public void Dispose()
    {
        if (_ownsInvoker)
        {
            _invoker.Dispose();
        }
    }

    internal Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        _invoker is HttpClient client
            ? client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken)
            : _invoker.SendAsync(request, cancellationToken);
}
