using System.Net;
using System.Net.Http.Headers;

namespace Grpc.Net.Client.Internal;

/// <summary>A request's body that is written while the response is already being read.</summary>
internal sealed class RequestContent : HttpContent
{
    private readonly TaskCompletionSource<Stream> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ReadOnlyMemory<byte>? _only;

    /// <param name="only">The one message of the request; null when messages are written one by one.</param>
    public RequestContent(ReadOnlyMemory<byte>? only)
    {
        _only = only;
        Headers.ContentType = new MediaTypeHeaderValue(Wire.ContentType);
    }

    public async Task WriteAsync(ReadOnlyMemory<byte> frame, CancellationToken cancellationToken)
    {
        var stream = await _opened.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        await stream.WriteAsync(frame, cancellationToken).ConfigureAwait(false);
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    public void Complete() => _completed.TrySetResult();

    /// <summary>Lets go of writers that wait for a request that failed.</summary>
    public void Fail(Exception reason)
    {
        _opened.TrySetException(reason);
        _completed.TrySetResult();
        _ = _opened.Task.Exception;
    }

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
    {
        if (_only is { } frame)
        {
            await stream.WriteAsync(frame).ConfigureAwait(false);
            return;
        }

        // Headers go out now, not with the first message: the server may be the one to speak first.
        await stream.FlushAsync().ConfigureAwait(false);
        _opened.TrySetResult(stream);
        await _completed.Task.ConfigureAwait(false);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = -1;
        return false;
    }
}
