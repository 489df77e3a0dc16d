using DistTune.Core.Training;

namespace DistTune.Cluster.Tests.Network;

/// <summary>What a line does to packets.</summary>
internal sealed record LineFaults
{
    /// <summary>Every packet arrives, at once.</summary>
    public static LineFaults None { get; } = new();

    /// <summary>Nothing arrives.</summary>
    public static LineFaults Cut { get; } = new() { Loss = 1 };

    /// <summary>Share of packets that never arrive.</summary>
    public double Loss { get; init; }

    /// <summary>Share of packets that arrive twice.</summary>
    public double Duplication { get; init; }

    /// <summary>How long a packet is under way.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>By how much the delay varies either way; packets overtake each other where it does.</summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>Bytes a second; 0 is unlimited.</summary>
    public int BytesPerSecond { get; init; }
}

/// <summary>One direction of a node's connection to the network. What it does to its nth packet follows from the seed.</summary>
internal sealed class PacketLine(ulong seed, ulong number)
{
    // What does not fit into a router's queue is lost: that is how TCP learns how wide the line is.
    private const int QueueBytes = 64 * 1024;
    private volatile LineFaults _faults = LineFaults.None;
    private TimeSpan _free;
    private (TimeSpan Entered, TimeSpan Arrived) _latest;
    private ulong _draws;
    private long _lost;
    private long _queued;
    private long _doubled;
    private long _overtaken;

    /// <summary>What it does from now on.</summary>
    public LineFaults Faults { set => _faults = value; }

    /// <summary>Packets that were lost.</summary>
    public long Lost => Volatile.Read(ref _lost);

    /// <summary>Packets that waited for others before them.</summary>
    public long Queued => Volatile.Read(ref _queued);

    /// <summary>Packets that arrived twice.</summary>
    public long Doubled => Volatile.Read(ref _doubled);

    /// <summary>Packets that overtook an earlier one.</summary>
    public long Overtaken => Volatile.Read(ref _overtaken);

    /// <summary>When a packet arrives: never, once or twice. Called by one thread.</summary>
    public IEnumerable<TimeSpan> Carry(int bytes, TimeSpan entered)
    {
        var faults = _faults;
        var waiting = _free > entered ? _free - entered : TimeSpan.Zero;
        if (Draw() < faults.Loss || waiting.TotalSeconds * faults.BytesPerSecond > QueueBytes)
        {
            _lost++;
            yield break;
        }

        if (faults.BytesPerSecond > 0)
        {
            _queued += waiting > TimeSpan.Zero ? 1 : 0;
            _free = entered + waiting + TimeSpan.FromSeconds((double)bytes / faults.BytesPerSecond);
            entered = _free;
        }

        yield return Arrival(faults, entered);
        if (Draw() < faults.Duplication)
        {
            _doubled++;
            yield return Arrival(faults, entered);
        }
    }

    private TimeSpan Arrival(LineFaults faults, TimeSpan entered)
    {
        var arrival = entered + faults.Delay + (faults.Jitter * ((2 * Draw()) - 1));
        if (arrival > _latest.Arrived)
        {
            _latest = (entered, arrival);
        }
        else if (arrival < _latest.Arrived && entered > _latest.Entered)
        {
            _overtaken++;
        }

        return arrival;
    }

    private double Draw() => CounterRandom.Uniform(seed, number, _draws++);
}
