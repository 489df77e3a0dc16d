namespace DistTune.Cluster.Tests.Network;

/// <summary>A namespace of the network and the two lines that join it to the others.</summary>
/// <param name="Space">Where its processes run.</param>
/// <param name="Sends">The line from the node into the network.</param>
/// <param name="Receives">The line from the network to the node.</param>
internal sealed record NetworkNode(NetworkNamespace Space, PacketLine Sends, PacketLine Receives)
{
    /// <summary>What both directions do from now on.</summary>
    public LineFaults Faults
    {
        set => (Sends.Faults, Receives.Faults) = (value, value);
    }
}
