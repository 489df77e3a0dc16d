using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;

namespace Grpc.Net.Client.Internal;

/// <summary>One call: an HTTP/2 request whose body carries requests and whose response carries responses and trailers.</summary>
internal sealed class HttpCall<TRequest, TResponse> : IDisposable
    where TRequest : class
    where TResponse : class
{
    private static readonly TimeSpan StatusPatience = TimeSpan.FromSeconds(1);

    private readonly GrpcChannel _channel;
    private readonly Method<TRequest, TResponse> _method;
    private readonly CallOptions _options;
    private readonly CancellationTokenSource _cancellation;
    private readonly CancellationTokenSource? _deadline;
    private readonly TaskCompletionSource<Metadata> _headers = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<(Status Status, Metadata Trailers)> _end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private RequestContent? _content;
    private Task<PipeReader?> _response = Task.FromResult<PipeReader?>(null);
    private HttpResponseMessage? _message;

    public HttpCall(GrpcChannel channel, Method<TRequest, TResponse> method, CallOptions options)
    {
        _channel = channel;
        _method = method;
        _options = options;
        if (options.Deadline is { } deadline && deadline != DateTime.MaxValue)
        {
            var left = deadline.ToUniversalTime() - TimeProvider.System.GetUtcNow().UtcDateTime;
            Remaining = left > TimeSpan.Zero ? left : TimeSpan.Zero;
            _deadline = Remaining == TimeSpan.Zero ? new CancellationTokenSource() : new CancellationTokenSource(Remaining.Value);
            if (Remaining == TimeSpan.Zero)
            {
                _deadline.Cancel();
            }
        }

        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(options.CancellationToken, _deadline?.Token ?? CancellationToken.None);
        Requests = new RequestWriter(this);
        Responses = new ResponseReader(this);
    }

    public IClientStreamWriter<TRequest> Requests { get; }

    public IAsyncStreamReader<TResponse> Responses { get; }

    public Task<Metadata> Headers => _headers.Task;

    private TimeSpan? Remaining { get; }

    /// <summary>Sends the request; <paramref name="only"/> is the one request message, or null when the caller streams.</summary>
    public void Start(TRequest? only)
    {
        _content = new RequestContent(only is null ? (ReadOnlyMemory<byte>?)null : Frame.Write(_method.RequestMarshaller, only, _channel.Options.MaxSendMessageSize));
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_channel.Address, _method.FullName))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = _content,
        };
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        request.Headers.TryAddWithoutValidation("user-agent", "grpc-dotnet-standin/1.0");
        if (Remaining is { } remaining)
        {
            request.Headers.TryAddWithoutValidation(Wire.Timeout, Wire.FormatTimeout(remaining));
        }

        foreach (var entry in _options.Headers ?? Metadata.Empty)
        {
            request.Headers.TryAddWithoutValidation(entry.Key, Wire.HeaderValue(entry));
        }

        _response = SendAsync(request);
    }

    public async Task<TResponse> SingleResponseAsync()
    {
        if (!await ReadNextAsync(CancellationToken.None).ConfigureAwait(false))
        {
            End(new Status(StatusCode.Internal, "The server ended the call with status OK but without a response."), []);
            throw Failure();
        }

        var response = Responses.Current;
        if (await ReadNextAsync(CancellationToken.None).ConfigureAwait(false))
        {
            End(new Status(StatusCode.Internal, "The server sent more than one response to a call that has one."), []);
            throw Failure();
        }

        return response;
    }

    public Status GetStatus() => _end.Task.IsCompletedSuccessfully ? _end.Task.Result.Status : throw new InvalidOperationException("Unable to get the status because the call is not complete.");

    public Metadata GetTrailers() => _end.Task.IsCompletedSuccessfully ? _end.Task.Result.Trailers : throw new InvalidOperationException("Unable to get the trailers because the call is not complete.");

    public void Dispose()
    {
        End(new Status(StatusCode.Cancelled, "The call was disposed before it ended."), []);
        _cancellation.Cancel();
        _message?.Dispose();
        _deadline?.Dispose();
    }

    private async Task<PipeReader?> SendAsync(HttpRequestMessage request)
    {
        try
        {
            var response = await _channel.SendAsync(request, _cancellation.Token).ConfigureAwait(false);
            _message = response;
            var headers = Collect(response.Headers);
            if (HttpFailure(response) is { } failure)
            {
                End(failure, headers);
                return null;
            }

            if (response.Headers.TryGetValues(Wire.Status, out var status))
            {
                // Trailers-only: the call ended without a response.
                _headers.TrySetResult(headers);
                End(Wire.ParseStatus(status.First(), First(response.Headers, Wire.Message)), headers);
                return null;
            }

            _headers.TrySetResult(headers);
            return PipeReader.Create(await response.Content.ReadAsStreamAsync(_cancellation.Token).ConfigureAwait(false));
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            End(StatusOf(exception), []);
            return null;
        }
    }

    private async Task<bool> ReadNextAsync(CancellationToken cancellationToken)
    {
        var reader = await _response.ConfigureAwait(false);
        if (reader is null || _end.Task.IsCompleted)
        {
            return await EndedAsync().ConfigureAwait(false);
        }

        using var cancelOnRequest = cancellationToken.Register(static state => ((CancellationTokenSource)state!).Cancel(), _cancellation);
        try
        {
            var (found, message) = await Frame.ReadAsync(reader, _method.ResponseMarshaller, _channel.Options.MaxReceiveMessageSize, _cancellation.Token).ConfigureAwait(false);
            if (found)
            {
                ((ResponseReader)Responses).Set(message!);
                return true;
            }

            var trailers = _message!.TrailingHeaders;
            End(
                First(trailers, Wire.Status) is { } status
                    ? Wire.ParseStatus(status, First(trailers, Wire.Message))
                    : new Status(StatusCode.Cancelled, "No grpc-status found on response."),
                Collect(trailers));
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or OperationCanceledException or RpcException)
        {
            End(exception is RpcException rpc ? rpc.Status : StatusOf(exception), []);
            await _cancellation.CancelAsync().ConfigureAwait(false);
        }

        return await EndedAsync().ConfigureAwait(false);
    }

    private async Task<bool> EndedAsync()
    {
        var (status, _) = await _end.Task.ConfigureAwait(false);
        return status.StatusCode == StatusCode.OK ? false : throw Failure();
    }

    private Exception Failure()
    {
        var (status, trailers) = _end.Task.Result;
        return status.StatusCode == StatusCode.Cancelled && _channel.Options.ThrowOperationCanceledOnCancellation && _options.CancellationToken.IsCancellationRequested
            ? new OperationCanceledException(status.Detail, _options.CancellationToken)
            : new RpcException(status, trailers);
    }

    private void End(Status status, Metadata trailers)
    {
        if (!_end.TrySetResult((status, trailers)))
        {
            return;
        }

        if (status.StatusCode != StatusCode.OK)
        {
            var failure = new RpcException(status, trailers);
            if (_headers.TrySetException(failure))
            {
                _ = _headers.Task.Exception;
            }

            _content?.Fail(failure);
        }
        else
        {
            _content?.Complete();
        }
    }

    private Status StatusOf(Exception exception)
    {
        if (_deadline?.IsCancellationRequested == true)
        {
            return new Status(StatusCode.DeadlineExceeded, "Deadline Exceeded", exception);
        }

        if (_cancellation.IsCancellationRequested)
        {
            return new Status(StatusCode.Cancelled, "Call canceled by the client.", exception);
        }

        var protocol = exception as HttpProtocolException ?? exception.InnerException as HttpProtocolException;
        return protocol?.ErrorCode switch
        {
            0x8 => new Status(StatusCode.Cancelled, "The server reset the stream.", exception),
            0xB => new Status(StatusCode.ResourceExhausted, "The server asked to slow down.", exception),
            _ => new Status(StatusCode.Unavailable, $"Error starting or carrying out the call to {_channel.Target}: {exception.Message}", exception),
        };
    }

    private static Status? HttpFailure(HttpResponseMessage response)
    {
        if (response.StatusCode != HttpStatusCode.OK)
        {
            var code = (int)response.StatusCode switch
            {
                400 => StatusCode.Internal,
                401 => StatusCode.Unauthenticated,
                403 => StatusCode.PermissionDenied,
                404 => StatusCode.Unimplemented,
                429 or 502 or 503 or 504 => StatusCode.Unavailable,
                _ => StatusCode.Unknown,
            };
            return new Status(code, $"Bad gRPC response. HTTP status code: {(int)response.StatusCode}");
        }

        return response.Content.Headers.ContentType?.MediaType?.StartsWith(Wire.ContentType, StringComparison.OrdinalIgnoreCase) == true
            ? null
            : new Status(StatusCode.Cancelled, $"Bad gRPC response. Invalid content-type value: {response.Content.Headers.ContentType}");
    }

    private static string? First(HttpResponseHeaders headers, string name) => headers.TryGetValues(name, out var values) ? values.First() : null;

    private static Metadata Collect(HttpResponseHeaders headers)
    {
        var metadata = new Metadata();
        foreach (var (key, values) in headers.NonValidated)
        {
            foreach (var value in values)
            {
                Wire.AddHeader(metadata, key, value);
            }
        }

        return metadata;
    }

    private sealed class RequestWriter(HttpCall<TRequest, TResponse> call) : IClientStreamWriter<TRequest>
    {
        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(TRequest message) => WriteAsync(message, CancellationToken.None);

        public async Task WriteAsync(TRequest message, CancellationToken cancellationToken)
        {
            var frame = Frame.Write(call._method.RequestMarshaller, message, call._channel.Options.MaxSendMessageSize);
            using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, call._cancellation.Token);
            try
            {
                await call._content!.WriteAsync(frame, linked.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is IOException or HttpRequestException or ObjectDisposedException or OperationCanceledException)
            {
                // The server ended the call, or the caller gave it up: the call's own status says which, and may still be on its way.
                cancellationToken.ThrowIfCancellationRequested();
                await Task.WhenAny(call._end.Task, Task.Delay(StatusPatience, CancellationToken.None)).ConfigureAwait(false);
                call.End(call.StatusOf(exception), []);
                throw call.Failure();
            }
        }

        public Task CompleteAsync()
        {
            call._content!.Complete();
            return Task.CompletedTask;
        }
    }

    private sealed class ResponseReader(HttpCall<TRequest, TResponse> call) : IAsyncStreamReader<TResponse>
    {
        private TResponse? _current;

        public TResponse Current => _current ?? throw new InvalidOperationException("No message has been read yet.");

        public void Set(TResponse message) => _current = message;

        public Task<bool> MoveNext(CancellationToken cancellationToken) => call.ReadNextAsync(cancellationToken);
    }
}
