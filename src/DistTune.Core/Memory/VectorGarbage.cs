namespace DistTune.Core.Memory;

/// <summary>
/// Flat vectors that nobody needs any more. Left to itself, the collector looks for them when it likes, and the next one comes beside them.
/// </summary>
public static class VectorGarbage
{
    // From this on a vector is worth a collection: milliseconds, of a step that takes seconds.
    private const long LeastFloats = 1 << 22;

    /// <summary>Has them collected, if they are large; called before as much is taken again.</summary>
    /// <param name="floats">A vector's length.</param>
    public static void Collect(long floats)
    {
        if (floats >= LeastFloats)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true);
        }
    }
}
