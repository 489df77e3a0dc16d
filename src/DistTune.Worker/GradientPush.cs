using System.Diagnostics;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using FloatRange = DistTune.Protocol.V1.FloatRange;

namespace DistTune.Worker;

/// <summary>
/// Sends a result over one connection. Parts are sent as the computer finishes them, while earlier layers are still in backward; what is
/// queued are ranges of the result's vector, so memory is bounded by its length.
/// </summary>
internal sealed class GradientPush(CoordinatorClient client, GroupResult result, string sessionId, int rank)
{
    /// <summary>Sends what is missing and the trailer, and waits for the coordinator's answer.</summary>
    /// <param name="received">What the coordinator has already, in order; null if it was never sent anything.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<PushAck> SendAsync(IReadOnlyList<FloatRange>? received, CancellationToken cancellationToken)
    {
        AsyncClientStreamingCall<PushPart, PushAck>? call = null;
        try
        {
            await foreach (var (offset, length) in result.PartsAsync(cancellationToken))
            {
                foreach (var missing in Missing(new FloatRange { Start = offset, End = offset + length }, received ?? []))
                {
                    // Opened with the first part: a computer may take long before it has one.
                    call ??= await OpenAsync(received is not null, cancellationToken);
                    if (!await TrySendAsync(call, missing))
                    {
                        return await call.ResponseAsync;
                    }
                }
            }

            var outcome = await result.Outcome;
            using var span = WorkerTelemetry.Start("upload", result.TraceParent, TrainingMapping.ToReference(result.Reference), rank);
            call ??= await OpenAsync(received is not null, cancellationToken);
            var timings = outcome.Timings with { UploadSeconds = result.UploadSeconds };
            await TryWriteAsync(call, new PushPart { Trailer = TrainingMapping.ToTrailer(outcome with { Timings = timings }, result.Sha256) }, last: true);
            return await call.ResponseAsync;
        }
        finally
        {
            call?.Dispose();
        }
    }

    private async Task<AsyncClientStreamingCall<PushPart, PushAck>> OpenAsync(bool resumes, CancellationToken cancellationToken)
    {
        var call = client.OpenPush(cancellationToken);
        await TryWriteAsync(call, new PushPart { Header = new PushHeader { SessionId = sessionId, Reference = result.Reference, Resumes = resumes } });
        return call;
    }

    private async Task<bool> TrySendAsync(AsyncClientStreamingCall<PushPart, PushAck> call, FloatRange range)
    {
        foreach (var chunk in VectorChunks.Cut(result.Vector, range.Start, range.End - range.Start))
        {
            var started = Stopwatch.GetTimestamp();
            if (!await TryWriteAsync(call, new PushPart { Chunk = chunk }))
            {
                return false;
            }

            result.UploadSeconds += Stopwatch.GetElapsedTime(started).TotalSeconds;
        }

        return true;
    }

    /// <returns>False if the coordinator answered before it had everything (a stale group): its answer, or its status, says why.</returns>
    private static async Task<bool> TryWriteAsync(AsyncClientStreamingCall<PushPart, PushAck> call, PushPart part, bool last = false)
    {
        try
        {
            // A write can stay without an end when the answer comes first: nobody opens the window for it any more.
            var writing = WriteAsync(call.RequestStream, part, last);
            if (await Task.WhenAny(writing, call.ResponseAsync) != writing)
            {
                return false;
            }

            await writing;
            return true;
        }
        catch (Exception fault) when (fault is RpcException or InvalidOperationException)
        {
            return false;
        }
    }

    private static async Task WriteAsync(IClientStreamWriter<PushPart> parts, PushPart part, bool last)
    {
        await parts.WriteAsync(part);
        if (last)
        {
            await parts.CompleteAsync();
        }
    }

    private static IEnumerable<FloatRange> Missing(FloatRange part, IReadOnlyList<FloatRange> received)
    {
        var start = part.Start;
        foreach (var range in received.Where(range => range.End > part.Start && range.Start < part.End))
        {
            if (range.Start > start)
            {
                yield return new FloatRange { Start = start, End = range.Start };
            }

            start = range.End;
        }

        if (start < part.End)
        {
            yield return new FloatRange { Start = start, End = part.End };
        }
    }
}
