using System.Numerics;

namespace DistTune.Core.Text;

/// <summary>Rank and result of every pair of tokens that may be merged: a hash table with open addressing, read-only after it is built.</summary>
internal sealed class MergeTable
{
    /// <summary>Rank of a pair that is not merged.</summary>
    internal const int NoMerge = int.MaxValue;

    private readonly ulong[] _keys;
    private readonly (int Rank, int Id)[] _values;
    private readonly int _mask;

    internal MergeTable(IReadOnlyList<(int Left, int Right, int Result)> merges)
    {
        var size = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, checked(merges.Count * 2)));
        _mask = size - 1;
        _keys = new ulong[size];
        _values = new (int, int)[size];
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var (left, right, result) = merges[rank];
            var slot = Slot(left, right);
            _keys[slot] = Key(left, right);
            _values[slot] = (rank, result);
        }
    }

    /// <summary>Rank of a pair, <see cref="NoMerge"/> if there is none; lower ranks are merged first.</summary>
    internal int Find(int left, int right, out int result)
    {
        var slot = Slot(left, right);
        if (_keys[slot] == 0)
        {
            result = -1;
            return NoMerge;
        }

        (var rank, result) = _values[slot];
        return rank;
    }

    // Zero marks a free slot, so keys are shifted by one.
    private static ulong Key(int left, int right) => (((ulong)(uint)left << 32) | (uint)right) + 1;

    private int Slot(int left, int right)
    {
        var key = Key(left, right);
        var slot = (int)((key * 0x9E3779B97F4A7C15UL) >> 32) & _mask;
        while (_keys[slot] != 0 && _keys[slot] != key)
        {
            slot = (slot + 1) & _mask;
        }

        return slot;
    }
}
