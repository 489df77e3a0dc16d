using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>
/// The gradients of the open step's accepted groups, on disk. A slot is taken before its bytes are written and free again when nobody
/// needs them, so that a file is as long as one step is wide; it is never written over while a record points at it. Each term has a file
/// of its own: a coordinator whose term is over cannot damage what its successor acknowledged.
/// </summary>
internal sealed class GradientSpool : IDisposable
{
    public const string Folder = "spool";
    private const string Prefix = "term-";
    private readonly Lock _gate = new();
    private readonly SortedSet<long> _free = [];
    private readonly IRunStorage _storage;
    private readonly IStorageFile _file;
    private readonly long _term;
    private readonly long _slotBytes;
    private long _slots;

    public GradientSpool(IRunStorage storage, long term, long vectorLength)
    {
        _storage = storage;
        _term = term;
        _slotBytes = Math.Max(1, vectorLength * sizeof(float));
        storage.CreateFolder(Folder);
        var path = PathOf(term);

        // Only a term that was never recorded can have left a file of this name.
        storage.Delete(path);
        _file = storage.Open(path);
        _file.Flush();
        storage.FlushFolder(Folder);
        storage.FlushFolder("");
    }

    /// <summary>Length of this term's file.</summary>
    public long SizeBytes => _file.Length;

    /// <summary>Takes a place for a gradient that is about to come. Several threads at a time.</summary>
    public SpoolSlot Begin()
    {
        long slot;
        lock (_gate)
        {
            slot = _free.Count > 0 ? _free.Min : _slots++;
            _free.Remove(slot);
        }

        return new SpoolSlot(this, _file, new SpoolPlace(_term, slot * _slotBytes));
    }

    /// <summary>Gives a slot back: no record that still counts points at it.</summary>
    public void Free(SpoolPlace place)
    {
        if (place.Term == _term)
        {
            lock (_gate)
            {
                _free.Add(place.Offset / _slotBytes);
            }
        }
    }

    /// <param name="place">Where the gradient is.</param>
    /// <param name="first">The first float that is wanted.</param>
    /// <param name="values">Takes them.</param>
    /// <returns>Whether the bytes are there; whether they are right is for the digest to say.</returns>
    public bool TryRead(SpoolPlace place, long first, Span<float> values)
    {
        var offset = place.Offset + (first * sizeof(float));
        if (place.Term == _term)
        {
            return VectorFile.TryRead(_file, offset, values);
        }

        if (!_storage.Exists(PathOf(place.Term)))
        {
            return false;
        }

        using var file = _storage.Open(PathOf(place.Term));
        return VectorFile.TryRead(file, offset, values);
    }

    /// <summary>Deletes the files of earlier terms: no record that still counts points into them.</summary>
    public void ForgetEarlierTerms()
    {
        foreach (var name in _storage.List(Folder))
        {
            if (VectorFile.NumberIn(name, Prefix) is { } term && term < _term)
            {
                _storage.Delete($"{Folder}/{name}");
            }
        }
    }

    public void Dispose() => _file.Dispose();

    private static string PathOf(long term) => $"{Folder}/{VectorFile.Numbered(Prefix, term)}";
}
