using System.Diagnostics;
using System.Threading.Channels;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Worker;

/// <summary>
/// A group's result on its way to the coordinator. Parts are sent as the computer finishes them, while earlier layers are still in
/// backward. The flat vector stays here until it is acknowledged; what is queued are ranges of it, so memory is bounded by its length.
/// </summary>
internal sealed class GradientPush : IGradientSink, IDisposable
{
    private readonly Channel<(long Offset, int Length)> _finished = Channel.CreateUnbounded<(long, int)>(new UnboundedChannelOptions { SingleReader = true });
    private readonly AsyncClientStreamingCall<PushPart, PushAck> _call;
    private readonly Action _progress;
    private readonly float[] _vector;
    private readonly GradientHash _hash;
    private readonly Task _sending;
    private long _sendTicks;

    /// <param name="call">The push; disposed with this.</param>
    /// <param name="header">Its first part.</param>
    /// <param name="vector">A vector of the layout's length whose gaps are zero; empty for groups without a gradient.</param>
    /// <param name="progress">Called for every sign of progress.</param>
    public GradientPush(AsyncClientStreamingCall<PushPart, PushAck> call, PushHeader header, float[] vector, Action progress)
    {
        _call = call;
        _vector = vector;
        _progress = progress;
        _hash = new GradientHash(vector);
        _sending = SendAsync(header);
    }

    public void Write(long offset, ReadOnlySpan<float> values)
    {
        values.CopyTo(_vector.AsSpan(checked((int)offset), values.Length));
        _finished.Writer.TryWrite((offset, values.Length));
        _progress();
    }

    public void Progress() => _progress();

    /// <summary>Sends what is left and the trailer, and waits for the coordinator's answer.</summary>
    public async Task<PushAck> CompleteAsync(GroupOutcome outcome)
    {
        _finished.Writer.TryComplete();
        try
        {
            await _sending.ConfigureAwait(false);
            var sha256 = _vector.Length == 0 ? string.Empty : _hash.Finish();
            var timings = outcome.Timings with { UploadSeconds = Stopwatch.GetElapsedTime(0, _sendTicks).TotalSeconds };
            await _call.RequestStream.WriteAsync(new PushPart { Trailer = TrainingMapping.ToTrailer(outcome with { Timings = timings }, sha256) }).ConfigureAwait(false);
            await _call.RequestStream.CompleteAsync().ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is RpcException or InvalidOperationException)
        {
            // The coordinator answered before it had everything (a stale group): its answer, or its status, says why.
        }

        return await _call.ResponseAsync.ConfigureAwait(false);
    }

    public void Dispose()
    {
        _finished.Writer.TryComplete();
        _call.Dispose();
    }

    private async Task SendAsync(PushHeader header)
    {
        await _call.RequestStream.WriteAsync(new PushPart { Header = header }).ConfigureAwait(false);
        await foreach (var (offset, length) in _finished.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            foreach (var chunk in VectorChunks.Cut(_vector, offset, length))
            {
                var started = Stopwatch.GetTimestamp();
                await _call.RequestStream.WriteAsync(new PushPart { Chunk = chunk }).ConfigureAwait(false);
                _sendTicks += Stopwatch.GetTimestamp() - started;
            }

            // Here rather than at the end, where the lane waits for it.
            _hash.Fill(offset, length);
        }
    }
}
