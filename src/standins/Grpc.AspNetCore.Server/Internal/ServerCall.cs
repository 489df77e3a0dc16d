using System.Globalization;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>One call of a client: reads its requests, writes responses, ends it with a status in the trailers.</summary>
internal sealed class ServerCall
{
    private readonly HttpContext _http;
    private readonly GrpcServiceOptions _options;
    private readonly SemaphoreSlim _writing = new(1);

    private ServerCall(HttpContext http, GrpcServiceOptions options)
    {
        _http = http;
        _options = options;
        Context = new HttpServerCallContext(http);
    }

    public HttpServerCallContext Context { get; }

    public static async Task RunAsync<TService>(HttpContext http, GrpcServiceOptions options, Func<ServerCall, TService, Task> handle)
        where TService : class
    {
        if (!HttpProtocol.IsHttp2(http.Request.Protocol) && !HttpProtocol.IsHttp3(http.Request.Protocol))
        {
            http.Response.StatusCode = StatusCodes.Status426UpgradeRequired;
            return;
        }

        if (http.Request.ContentType?.StartsWith(Wire.ContentType, StringComparison.OrdinalIgnoreCase) != true)
        {
            http.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            return;
        }

        LiftHttpLimits(http);
        http.Response.ContentType = Wire.ContentType;
        var call = new ServerCall(http, options);
        using (call.Context)
        {
            var handling = call.HandleAsync(handle);
            if (await Task.WhenAny(handling, call.Context.DeadlinePassed).ConfigureAwait(false) != handling && !handling.IsCompleted)
            {
                // The handler has been told by its token; the client is not kept waiting for it.
                call.End(new Status(StatusCode.DeadlineExceeded, "Deadline Exceeded"));
                await http.Response.CompleteAsync().ConfigureAwait(false);
            }

            await handling.ConfigureAwait(false);
        }
    }

    /// <summary>The interceptors, so that wrapping each around the last puts the first outermost.</summary>
    public IEnumerable<Interceptor> InnermostFirst() =>
        _options.Interceptors.Reverse().Select(registration =>
            (Interceptor)(_http.RequestServices.GetService(registration.Type)
                ?? ActivatorUtilities.CreateInstance(_http.RequestServices, registration.Type, [.. registration.Arguments])));

    public async Task<TRequest> ReadOnlyRequestAsync<TRequest>(Marshaller<TRequest> marshaller)
    {
        var (found, request) = await Frame.ReadAsync(_http.Request.BodyReader, marshaller, _options.MaxReceiveMessageSize, Context.CancellationToken).ConfigureAwait(false);
        return found ? request! : throw new RpcException(new Status(StatusCode.Internal, "Incomplete message."));
    }

    public IAsyncStreamReader<TRequest> Requests<TRequest>(Marshaller<TRequest> marshaller) => new RequestReader<TRequest>(this, marshaller);

    public IServerStreamWriter<TResponse> Responses<TResponse>(Marshaller<TResponse> marshaller) => new ResponseWriter<TResponse>(this, marshaller);

    public async Task WriteAsync<TResponse>(Marshaller<TResponse> marshaller, TResponse? response)
    {
        if (response is null)
        {
            throw new RpcException(new Status(StatusCode.Cancelled, "No message returned from method."));
        }

        var frame = Frame.Write(marshaller, response, _options.MaxSendMessageSize);
        await _writing.WaitAsync(Context.CancellationToken).ConfigureAwait(false);
        try
        {
            await _http.Response.BodyWriter.WriteAsync(frame, Context.CancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _writing.Release();
        }
    }

    private async Task HandleAsync<TService>(Func<ServerCall, TService, Task> handle)
        where TService : class
    {
        var registered = _http.RequestServices.GetService<TService>();
        var service = registered ?? ActivatorUtilities.CreateInstance<TService>(_http.RequestServices);
        try
        {
            await handle(this, service).ConfigureAwait(false);
            End(Context.Status);
        }
        catch (RpcException exception)
        {
            foreach (var entry in exception.Trailers)
            {
                Context.ResponseTrailers.Add(entry);
            }

            End(exception.Status);
        }
        catch (OperationCanceledException) when (Context.CancellationToken.IsCancellationRequested)
        {
            End(Context.DeadlinePassed.IsCompleted ? new Status(StatusCode.DeadlineExceeded, "Deadline Exceeded") : new Status(StatusCode.Cancelled, "Call canceled by the client."));
        }
        catch (Exception exception) when (!_http.RequestAborted.IsCancellationRequested)
        {
            _http.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("Grpc.AspNetCore.Server.ServerCallHandler").Log(
                LogLevel.Error, new EventId(6, "ErrorExecutingServiceMethod"), Context.Method, exception, static (method, _) => $"Error when executing service method '{method}'.");
            End(new Status(StatusCode.Unknown, _options.EnableDetailedErrors == true ? $"Exception was thrown by handler. {exception.GetType().Name}: {exception.Message}" : "Exception was thrown by handler."));
        }
        catch (IOException)
        {
            // The connection is gone, and with it whoever would read a status.
            End(Status.DefaultCancelled);
        }
        finally
        {
            if (registered is null)
            {
                await DisposeAsync(service).ConfigureAwait(false);
            }
        }
    }

    private void End(Status status)
    {
        if (!Context.TryEnd() || _http.RequestAborted.IsCancellationRequested)
        {
            return;
        }

        // Before the response has begun, status and trailers go out as its only headers.
        var destination = _http.Response.HasStarted ? _http.Features.GetRequiredFeature<IHttpResponseTrailersFeature>().Trailers : _http.Response.Headers;
        foreach (var entry in Context.ResponseTrailers)
        {
            destination.Append(entry.Key, Wire.HeaderValue(entry));
        }

        destination[Wire.Status] = ((int)status.StatusCode).ToString(CultureInfo.InvariantCulture);
        if (!string.IsNullOrEmpty(status.Detail))
        {
            destination[Wire.Message] = Wire.EncodeMessage(status.Detail);
        }
    }

    /// <summary>Streams may be long and slow; messages have a limit of their own.</summary>
    private static void LiftHttpLimits(HttpContext http)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
        {
            size.MaxRequestBodySize = null;
        }

        if (http.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
        {
            rate.MinDataRate = null;
        }
    }

    private static async ValueTask DisposeAsync(object service)
    {
        if (service is IAsyncDisposable asynchronous)
        {
            await asynchronous.DisposeAsync().ConfigureAwait(false);
        }
        else
        {
            (service as IDisposable)?.Dispose();
        }
    }

    private sealed class RequestReader<TRequest>(ServerCall call, Marshaller<TRequest> marshaller) : IAsyncStreamReader<TRequest>
    {
        private TRequest? _current;

        public TRequest Current => _current ?? throw new InvalidOperationException("No message has been read yet.");

        public async Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, call.Context.CancellationToken);
            var (found, message) = await Frame.ReadAsync(call._http.Request.BodyReader, marshaller, call._options.MaxReceiveMessageSize, linked.Token).ConfigureAwait(false);
            _current = message;
            return found;
        }
    }

    private sealed class ResponseWriter<TResponse>(ServerCall call, Marshaller<TResponse> marshaller) : IServerStreamWriter<TResponse>
    {
        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(TResponse message) => call.WriteAsync(marshaller, message);
    }
}
