using DistTune.Engine.Storage;

namespace DistTune.Simulation;

/// <summary>Bugs that are planted to see whether the simulation finds them.</summary>
internal enum PlantedBug
{
    None,

    /// <summary>The journal is never flushed.</summary>
    JournalNotFlushed,

    /// <summary>A redo gradient is never flushed.</summary>
    RedoNotFlushed,

    /// <summary>A group's gradient is never flushed.</summary>
    SpoolNotFlushed,

    /// <summary>The folder of snapshots and the run's folder are never flushed.</summary>
    NamesNotFlushed,

    /// <summary>What is written to the journal is written only with the next write: results are acknowledged before.</summary>
    EarlyAcknowledgement,

    /// <summary>A coordinator does not see that another one has written since.</summary>
    UnfencedTerm,
}

/// <summary>One process's view of the disk: it can be killed at any operation, or be told that the disk is full or broken.</summary>
/// <param name="disk">The disk, which outlives it.</param>
/// <param name="bug">What is wrong with it.</param>
internal sealed class DiskProcess(SimulatedDisk disk, PlantedBug bug) : IRunStorage
{
    private bool _dead;
    private int _operations;

    /// <summary>Operation at which it is killed.</summary>
    public int KilledAt { get; set; } = int.MaxValue;

    /// <summary>Operation that fails.</summary>
    public int FailsAt { get; set; } = int.MaxValue;

    /// <summary>Whether locks keep nobody out, as on some network file systems.</summary>
    public bool LocksFail { get; init; }

    public string Describe(string path) => path;

    public bool Exists(string path) => Find(path) is SimulatedDisk.Inode;

    public IReadOnlyList<string> List(string folder) => Find(folder) is SimulatedDisk.Folder found ? [.. found.Names.Keys] : [];

    public IStorageFile Open(string path)
    {
        Step();
        var (parent, name) = Split(path);
        if (!parent.Names.ContainsKey(name))
        {
            var inode = new SimulatedDisk.Inode();
            parent.Change(names => names[name] = inode);
        }

        return new File(this, (SimulatedDisk.Inode)parent.Names[name], path);
    }

    public void CreateFolder(string path)
    {
        Step();
        var (parent, name) = Split(path);
        if (!parent.Names.ContainsKey(name))
        {
            var folder = new SimulatedDisk.Folder();
            parent.Change(names => names[name] = folder);
        }
    }

    public void Rename(string from, string to)
    {
        Step();
        var (parent, name) = Split(from);
        var (_, target) = Split(to);
        var node = parent.Names[name];
        parent.Change(names =>
        {
            names.Remove(name);
            names[target] = node;
        });
    }

    public void Delete(string path)
    {
        Step();
        if (Find(path) is not null)
        {
            var (parent, name) = Split(path);
            parent.Change(names => names.Remove(name));
        }
    }

    public void FlushFolder(string path)
    {
        Step();
        if (bug != PlantedBug.NamesNotFlushed)
        {
            ((SimulatedDisk.Folder)Find(path)!).Flush();
        }
    }

    public IDisposable? TryLock(string path)
    {
        Step();
        if (disk.LockHolder is { _dead: false } && !LocksFail)
        {
            return null;
        }

        disk.LockHolder = this;
        return new Held(() => disk.LockHolder = disk.LockHolder == this ? null : disk.LockHolder);
    }

    /// <summary>Nothing that it does from now on has an effect; its locks are free.</summary>
    public void Kill() => _dead = true;

    private Random Random => disk.Random;

    private bool Has(PlantedBug planted) => bug == planted;

    private void Step()
    {
        if (_dead || ++_operations >= KilledAt)
        {
            _dead = true;
            throw new SimulatedCrashException();
        }

        if (_operations == FailsAt)
        {
            throw new IOException(disk.Random.Next(2) == 0 ? "No space left on device" : "Input/output error");
        }
    }

    private SimulatedDisk.Node? Find(string path)
    {
        if (_dead)
        {
            throw new SimulatedCrashException();
        }

        SimulatedDisk.Node? node = disk.Root;
        foreach (var name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            node = (node as SimulatedDisk.Folder)?.Names.GetValueOrDefault(name);
        }

        return node;
    }

    private (SimulatedDisk.Folder Parent, string Name) Split(string path)
    {
        var slash = path.LastIndexOf('/');
        return ((SimulatedDisk.Folder)(Find(slash < 0 ? "" : path[..slash]) ?? throw new DirectoryNotFoundException(path)), path[(slash + 1)..]);
    }

    private sealed class Held(Action release) : IDisposable
    {
        public void Dispose() => release();
    }

    private sealed class File(DiskProcess process, SimulatedDisk.Inode inode, string path) : IStorageFile
    {
        private (long Offset, byte[] Bytes)? _late;

        public long Length => inode.Length;

        private bool IsJournal => path == "journal.log";

        public int Read(long offset, Span<byte> buffer)
        {
            process.Find("");
            return process.Has(PlantedBug.UnfencedTerm) && IsJournal && offset > 0 ? 0 : inode.Read(offset, buffer);
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            process.Find("");
            try
            {
                process.Step();
            }
            catch (Exception fault) when (fault is SimulatedCrashException or IOException)
            {
                // Part of it may have been written by then.
                inode.Write(offset, bytes[..process.Random.Next(bytes.Length + 1)]);
                throw;
            }

            if (process.Has(PlantedBug.EarlyAcknowledgement) && IsJournal && offset > 0)
            {
                if (_late is { } late)
                {
                    inode.Write(late.Offset, late.Bytes);
                }

                _late = (offset, bytes.ToArray());
                return;
            }

            inode.Write(offset, bytes);
        }

        public void SetLength(long length)
        {
            process.Step();
            inode.SetLength(length);
        }

        public void Flush()
        {
            try
            {
                process.Step();
            }
            catch (IOException)
            {
                inode.FailToFlush(process.Random);
                throw;
            }

            if (!(process.Has(PlantedBug.JournalNotFlushed) && IsJournal) && !(process.Has(PlantedBug.RedoNotFlushed) && path.StartsWith("redo/", StringComparison.Ordinal))
                && !(process.Has(PlantedBug.SpoolNotFlushed) && path.StartsWith("spool/", StringComparison.Ordinal)))
            {
                inode.Flush();
            }
        }

        public void Dispose()
        {
        }
    }

}
