using System.Collections.Concurrent;
using System.Threading.Channels;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;

namespace DistTune.Coordinator;

/// <summary>The open session streams: how a command reaches a worker.</summary>
internal sealed class SessionLinks
{
    // One a revoked grant: more than that wait only for a worker that does not read them.
    private const int MostWaiting = 1024;
    private readonly ConcurrentDictionary<string, Channel<SessionCommand>> _links = new(StringComparer.Ordinal);

    /// <summary>Opens the link of a session. Reading ends with an exception when its worker leaves too many commands unread.</summary>
    public ChannelReader<SessionCommand> Open(string sessionId)
    {
        var link = Channel.CreateBounded<SessionCommand>(new BoundedChannelOptions(MostWaiting) { SingleReader = true });
        _links[sessionId] = link;
        link.Writer.TryWrite(new SessionCommand { Opened = new SessionOpened() });
        return link.Reader;
    }

    public void Close(string sessionId)
    {
        if (_links.TryRemove(sessionId, out var link))
        {
            link.Writer.TryComplete();
        }
    }

    /// <summary>Sends a revocation as soon as the grant is revoked.</summary>
    public void Watch(string sessionId, Engine.Grant grant)
    {
        var reference = TrainingMapping.ToMessage(GrantReference.To(grant));
        grant.Revoked.UnsafeRegister(_ => Send(sessionId, new SessionCommand { Revoke = reference }), null);
    }

    public void Send(string sessionId, SessionCommand command)
    {
        if (_links.TryGetValue(sessionId, out var link) && !link.Writer.TryWrite(command))
        {
            link.Writer.TryComplete(new ChannelClosedException());
        }
    }
}
