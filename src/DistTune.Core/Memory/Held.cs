namespace DistTune.Core.Memory;

/// <summary>
/// Tensors that are alive together. A large one is given back to the system as soon as it is freed (<see cref="NativeHeap"/>); what small
/// ones took stays with the process for the next small ones. So a peak is the most that small ones ever took, and beside it the most of the large ones.
/// </summary>
/// <param name="Small">Bytes in tensors that come from the allocator's arena.</param>
/// <param name="Large">Bytes in tensors that are mapped each by itself.</param>
internal readonly record struct Held(long Small, long Large)
{
    // What lies unused between live small tensors, as measured.
    private const double Unused = 0.5;

    /// <summary>Nothing.</summary>
    public static Held Nothing => default;

    /// <summary>What of them the process holds.</summary>
    public long Bytes => Small + Large + (long)(Unused * Small);

    /// <summary>So many tensors of so many floats each.</summary>
    public static Held Of(long floats, long count = 1)
    {
        var bytes = sizeof(float) * floats;
        return bytes >= NativeHeap.LeastMapped ? new Held(0, count * bytes) : new Held(count * bytes, 0);
    }

    /// <summary>The most of either kind at moments that do not coincide.</summary>
    public static Held Most(params ReadOnlySpan<Held> moments)
    {
        var most = Nothing;
        foreach (var moment in moments)
        {
            most = new Held(Math.Max(most.Small, moment.Small), Math.Max(most.Large, moment.Large));
        }

        return most;
    }

    /// <summary>Both together.</summary>
    public static Held operator +(Held left, Held right) => new(left.Small + right.Small, left.Large + right.Large);

    /// <summary>So many times the same.</summary>
    public static Held operator *(long count, Held held) => new(count * held.Small, count * held.Large);

    /// <summary>What the left has beyond the right.</summary>
    public static Held operator -(Held left, Held right) => new(Math.Max(0, left.Small - right.Small), Math.Max(0, left.Large - right.Large));
}
