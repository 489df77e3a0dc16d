using System.Buffers;
using System.Globalization;
using DistTune.Core.Training;
using DistTune.Engine.Storage;

namespace DistTune.Engine;

/// <summary>
/// The gradient of a group that is done, outside of memory: it is read block by block when its turn to be added comes, and must still be
/// what was accepted. A group that is left out counts as zeros, which are nowhere.
/// </summary>
internal sealed class KeptGradient(GroupDone done, long length, RunStore? store)
{
    private delegate void BlockTaker(long offset, ReadOnlySpan<float> values);

    /// <summary>Adds it to a sum, all of it or, with an exception, an unknown part.</summary>
    /// <exception cref="RunStorageException">It is not there any more as it was accepted.</exception>
    public void AddTo(float[] sum) => Require((offset, values) => FlatVector.AddTo(sum.AsSpan((int)offset, values.Length), values));

    /// <summary>Reads it.</summary>
    /// <exception cref="RunStorageException">It is not there any more as it was accepted.</exception>
    public void CopyTo(float[] vector) => Require((offset, values) => values.CopyTo(vector.AsSpan((int)offset)));

    /// <summary>Reads it, or with null only looks whether it could be.</summary>
    /// <returns>Whether it is still there as it was accepted.</returns>
    public bool TryRead(float[]? vector) => TryPass((offset, values) =>
    {
        if (vector is not null)
        {
            values.CopyTo(vector.AsSpan((int)offset));
        }
    });

    private void Require(BlockTaker take)
    {
        if (!TryPass(take))
        {
            throw new RunStorageException(string.Create(
                CultureInfo.InvariantCulture,
                $"The gradient of the {done.Group} is not in the spool any more as it was accepted. The run stops here; check the disk, then start it again: the group is computed once more."));
        }
    }

    private bool TryPass(BlockTaker take)
    {
        var buffer = ArrayPool<float>.Shared.Rent(GradientHash.BlockFloats);
        try
        {
            var whole = true;
            var hash = new GradientHash(length, (offset, count) =>
            {
                var values = buffer.AsSpan(0, count);
                whole = whole && TryReadBlock(offset, values);
                take(offset, values);
                return values;
            });
            var sha256 = hash.Finish();
            return whole && (done.Skipped || ResultDigest.Of(done.Outcome, sha256) == done.Digest);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(buffer);
        }
    }

    private bool TryReadBlock(long offset, Span<float> values)
    {
        if (done.Skipped)
        {
            values.Clear();
            return true;
        }

        return store is not null && done.Spool is { } place && store.TryReadSpooled(place, offset, values);
    }
}
