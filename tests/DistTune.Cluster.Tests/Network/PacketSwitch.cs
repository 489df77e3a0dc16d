using System.Diagnostics;
using System.Net;

namespace DistTune.Cluster.Tests.Network;

/// <summary>Takes IP packets from every node and hands each to the node of its destination, when the lines between let it arrive.</summary>
internal sealed class PacketSwitch : IDisposable
{
    private const int HeaderBytes = 20;
    private const int DestinationOffset = 16;
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(50);
    private readonly IReadOnlyList<NetworkNode> _nodes;
    private readonly TunDevice[] _devices;
    private readonly PriorityQueue<(NetworkNode To, byte[] Packet), (TimeSpan Arrival, long Order)> _underWay = new();
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly Thread _thread;
    private volatile bool _ends;
    private long _order;

    /// <param name="nodes">The nodes; their namespaces stay the caller's.</param>
    public PacketSwitch(IReadOnlyList<NetworkNode> nodes)
    {
        _nodes = nodes;
        _devices = [.. nodes.Select(node => node.Space.Device)];
        _thread = new Thread(Run) { IsBackground = true, Name = "packet switch" };
        _thread.Start();
    }

    private TimeSpan Now => Stopwatch.GetElapsedTime(_started);

    public void Dispose()
    {
        _ends = true;
        _thread.Join();
    }

    private void Run()
    {
        while (!_ends)
        {
            var ready = TunDevice.Wait(_devices, MillisecondsToNext());
            for (var index = 0; index < ready.Length; index++)
            {
                if (ready[index])
                {
                    Route(_nodes[index]);
                }
            }

            while (_underWay.TryPeek(out var next, out var due) && due.Arrival <= Now)
            {
                _underWay.Dequeue();
                next.To.Space.Device.Write(next.Packet);
            }
        }
    }

    private int MillisecondsToNext()
    {
        var left = _underWay.TryPeek(out _, out var due) ? due.Arrival - Now : LongestWait;
        return (int)Math.Ceiling(Math.Clamp(left.TotalMilliseconds, 0, LongestWait.TotalMilliseconds));
    }

    // What is not IPv4 to a node of this network (the kernel asks for IPv6 routers, for one) has nowhere to go.
    private void Route(NetworkNode from)
    {
        var packet = from.Space.Device.Read();
        if (packet.Length < HeaderBytes || packet[0] >> 4 != 4)
        {
            return;
        }

        var destination = new IPAddress(packet.AsSpan(DestinationOffset, 4));
        if (_nodes.FirstOrDefault(node => node.Space.Address.Equals(destination)) is { } to)
        {
            foreach (var arrival in from.Sends.Carry(packet.Length, Now).SelectMany(middle => to.Receives.Carry(packet.Length, middle)))
            {
                _underWay.Enqueue((to, packet), (arrival, _order++));
            }
        }
    }
}
