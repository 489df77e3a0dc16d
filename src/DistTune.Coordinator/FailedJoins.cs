using System.Net;
using System.Net.Sockets;

namespace DistTune.Coordinator;

/// <summary>
/// Counts refused calls by peer and closes the door to one that makes too many: nobody guesses on, and nobody fills the log. Memory is
/// bounded.
/// </summary>
internal sealed class FailedJoins(TimeProvider time)
{
    /// <summary>Refusals within <see cref="Window"/> after which a peer is not listened to.</summary>
    public const int Most = 20;

    private const int MostPeers = 1024;
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);
    private readonly Dictionary<IPAddress, (long Since, int Count)> _peers = [];
    private readonly Lock _gate = new();

    /// <summary>Whether a peer has failed too often.</summary>
    public bool IsClosed(IPAddress? address)
    {
        lock (_gate)
        {
            return _peers.TryGetValue(Network(address), out var peer) && peer.Count >= Most && time.GetElapsedTime(peer.Since) < Window;
        }
    }

    /// <summary>A call of the peer was refused.</summary>
    public void Failed(IPAddress? address)
    {
        lock (_gate)
        {
            var network = Network(address);
            if (_peers.Count >= MostPeers && !_peers.ContainsKey(network))
            {
                _peers.Remove(_peers.MinBy(pair => pair.Value.Since).Key);
            }

            _peers[network] = _peers.TryGetValue(network, out var peer) && time.GetElapsedTime(peer.Since) < Window
                ? (peer.Since, peer.Count + 1)
                : (time.GetTimestamp(), 1);
        }
    }

    // Whoever has one address of an IPv6 network has 2^64 of them.
    private static IPAddress Network(IPAddress? address)
    {
        if (address is not { AddressFamily: AddressFamily.InterNetworkV6 } || address.IsIPv4MappedToIPv6)
        {
            return address?.MapToIPv4() ?? IPAddress.None;
        }

        var bytes = address.GetAddressBytes();
        bytes.AsSpan(8).Clear();
        return new IPAddress(bytes);
    }
}
