using DistTune.Core;
using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>
/// How long the coordinator waits for a client: as long as a lease lives without progress. A client that does not read, or sends nothing,
/// pins memory no longer than that.
/// </summary>
internal sealed class ClientPatience(CoordinatorSetup setup, TimeProvider time, IHostApplicationLifetime lifetime)
{
    private readonly TimeSpan _patience = setup.Engine.LeaseDuration;

    /// <summary>Ends with the call, or when the coordinator stops.</summary>
    public CancellationTokenSource Until(ServerCallContext context) =>
        CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);

    /// <summary>Waits for a client's next message.</summary>
    /// <param name="messages">What it sends.</param>
    /// <param name="isExcused">Whether there is another sign of life when nothing has come.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="DistTuneException">Nothing came.</exception>
    public async Task<bool> NextAsync<T>(IAsyncStreamReader<T> messages, Func<bool> isExcused, CancellationToken cancellationToken)
    {
        var next = messages.MoveNext(cancellationToken);
        while (!next.IsCompleted)
        {
            try
            {
                return await next.WaitAsync(_patience, time, cancellationToken);
            }
            catch (TimeoutException)
            {
                if (!isExcused())
                {
                    throw new DistTuneException(FaultKind.Stale, FormattableString.Invariant($"Nothing came for {_patience.TotalSeconds:0.#} s, and the group is not leased to this call any more."));
                }
            }
        }

        return await next;
    }

    /// <summary>Sends a client a message. One that does not take it loses the call, with what the transport still holds of it.</summary>
    /// <exception cref="RpcException">The client did not read.</exception>
    public async Task WriteAsync<T>(IServerStreamWriter<T> messages, T message, ServerCallContext context)
    {
        var sending = messages.WriteAsync(message, context.CancellationToken);
        try
        {
            await sending.WaitAsync(_patience, time, CancellationToken.None);
        }
        catch (TimeoutException)
        {
            // The call must not end before its last write has: that still has a hand on the request.
            context.GetHttpContext().Abort();
            await sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw new RpcException(new Status(StatusCode.ResourceExhausted, FormattableString.Invariant($"The client has read nothing for {_patience.TotalSeconds:0.#} s.")));
        }
    }
}
