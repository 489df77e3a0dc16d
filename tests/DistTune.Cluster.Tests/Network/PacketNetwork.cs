using System.Globalization;
using System.Net;

namespace DistTune.Cluster.Tests.Network;

/// <summary>
/// A coordinator's and its workers' namespaces, each with an address of its own, joined by a switch in this process: the kernel's own TCP
/// meets packets that are lost, late, overtaken, doubled and cut off. Nothing leaves these namespaces.
/// </summary>
internal sealed class PacketNetwork : IDisposable
{
    private static readonly Lock Cleaning = new();
    private readonly List<NetworkNode> _nodes = [];
    private readonly PacketSwitch _switch;

    private PacketNetwork(int workers, ulong seed)
    {
        try
        {
            for (var number = 0; number <= workers; number++)
            {
                var role = number == 0 ? "coordinator" : string.Create(CultureInfo.InvariantCulture, $"worker-{number - 1}");
                var space = new NetworkNamespace(role, IPAddress.Parse(string.Create(CultureInfo.InvariantCulture, $"10.77.0.{number + 1}")));
                _nodes.Add(new NetworkNode(space, new PacketLine(seed, 2 * (ulong)number), new PacketLine(seed, (2 * (ulong)number) + 1)));
            }
        }
        catch
        {
            DeleteNamespaces();
            throw;
        }

        _switch = new PacketSwitch(_nodes);
    }

    public NetworkNode Coordinator => _nodes[0];

    public IReadOnlyList<NetworkNode> Workers => _nodes[1..];

    /// <summary>What happened to packets so far, in words.</summary>
    public string Toll => string.Create(
        CultureInfo.InvariantCulture,
        $"{Lines.Sum(line => line.Lost)} packets lost, {Lines.Sum(line => line.Queued)} queued, {Lines.Sum(line => line.Overtaken)} overtaking, {Lines.Sum(line => line.Doubled)} doubled");

    /// <summary>Every line of the network.</summary>
    public IEnumerable<PacketLine> Lines => _nodes.SelectMany(node => (PacketLine[])[node.Sends, node.Receives]);

    /// <summary>Makes a network; skips the test where there can be none, and says what is missing.</summary>
    /// <param name="workers">Nodes beside the coordinator's.</param>
    /// <param name="seed">Decides what happens to which packet; printed.</param>
    public static PacketNetwork Create(int workers, ulong seed)
    {
        var missing = NetworkNamespace.Missing();
        Assert.SkipWhen(missing is not null, $"No packet network: {missing}.");
        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(CultureInfo.InvariantCulture, $"packet network of {workers} workers, seed {seed}"));
        try
        {
            lock (Cleaning)
            {
                NetworkNamespace.DeleteLeftovers();
            }

            return new PacketNetwork(workers, seed);
        }
        catch (UnauthorizedAccessException refusal)
        {
            Assert.Skip($"No packet network: the kernel refuses this process network namespaces or interfaces ({refusal.Message}; for a container --cap-add NET_ADMIN,SYS_ADMIN).");
            throw;
        }
    }

    public void Dispose()
    {
        _switch.Dispose();
        DeleteNamespaces();
    }

    private void DeleteNamespaces() => _nodes.ForEach(node => node.Space.Dispose());
}
