using DistTune.Engine.Storage;

namespace DistTune.Simulation;

/// <summary>The simulated process is dead: nothing of what it was doing happens any more.</summary>
internal sealed class SimulatedCrashException() : Exception("The simulated process was killed.");

/// <summary>
/// A disk as POSIX allows it to be. Bytes and names are durable only when they were flushed: a power cut keeps any subset of the unflushed
/// sectors, any length in between, and any prefix of a folder's unflushed changes of names. After a failed flush nobody knows what was written.
/// </summary>
internal sealed class SimulatedDisk(Random random)
{
    public Random Random => random;

    public Folder Root { get; } = new();

    public DiskProcess? LockHolder { get; set; }

    /// <summary>Everything that was not flushed is kept or lost by chance.</summary>
    public void CutPower() => Root.CutPower(random);

    /// <summary>A file or a folder.</summary>
    internal abstract class Node
    {
        public abstract void CutPower(Random random);
    }

    /// <summary>Names, some of them not durable yet.</summary>
    internal sealed class Folder : Node
    {
        private readonly List<Action<SortedDictionary<string, Node>>> _unflushed = [];
        private SortedDictionary<string, Node> _durable = new(StringComparer.Ordinal);

        public SortedDictionary<string, Node> Names { get; private set; } = new(StringComparer.Ordinal);

        public void Change(Action<SortedDictionary<string, Node>> change)
        {
            change(Names);
            _unflushed.Add(change);
        }

        public void Flush()
        {
            _durable = new(Names, StringComparer.Ordinal);
            _unflushed.Clear();
        }

        public override void CutPower(Random random)
        {
            foreach (var change in _unflushed.Take(random.Next(_unflushed.Count + 1)))
            {
                change(_durable);
            }

            Names = new(_durable, StringComparer.Ordinal);
            _unflushed.Clear();
            foreach (var node in Names.Values)
            {
                node.CutPower(random);
            }
        }
    }

    /// <summary>Bytes, some of them not durable yet.</summary>
    internal sealed class Inode : Node
    {
        private const int Sector = 512;
        private readonly HashSet<int> _dirty = [];
        private byte[] _current = [];
        private byte[] _durable = [];
        private int _length;
        private int _durableLength;

        public int Length => _length;

        public int Read(long offset, Span<byte> buffer)
        {
            var count = Math.Clamp(_length - (int)Math.Min(offset, _length), 0, buffer.Length);
            _current.AsSpan((int)Math.Min(offset, _length), count).CopyTo(buffer);
            return count;
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            var end = checked((int)offset + bytes.Length);
            Reserve(ref _current, end);
            bytes.CopyTo(_current.AsSpan((int)offset));
            _length = Math.Max(_length, end);
            for (var sector = (int)offset / Sector; sector * Sector < end; sector++)
            {
                _dirty.Add(sector);
            }
        }

        public void SetLength(long length)
        {
            Reserve(ref _current, (int)length);
            if (length < _length)
            {
                // What comes back when the file grows again is zeros.
                _current.AsSpan((int)length, _length - (int)length).Clear();
                for (var sector = (int)length / Sector; sector * Sector < _length; sector++)
                {
                    _dirty.Add(sector);
                }
            }

            _length = (int)length;
        }

        public void Flush()
        {
            foreach (var sector in _dirty)
            {
                Keep(sector);
            }

            _dirty.Clear();
            _durableLength = _length;
        }

        /// <summary>A flush that fails: some sectors reached the disk, the others are clean in memory and will never reach it.</summary>
        public void FailToFlush(Random random)
        {
            foreach (var sector in _dirty.Where(_ => random.Next(2) == 0))
            {
                Keep(sector);
            }

            _dirty.Clear();
        }

        public override void CutPower(Random random)
        {
            foreach (var sector in _dirty.Where(_ => random.Next(2) == 0))
            {
                Keep(sector);
            }

            _dirty.Clear();
            var (least, most) = (Math.Min(_length, _durableLength), Math.Max(_length, _durableLength));
            _length = _durableLength = random.Next(3) switch { 0 => least, 1 => most, _ => random.Next(least, most + 1) };
            Reserve(ref _durable, _length);
            Array.Clear(_durable, _length, _durable.Length - _length);
            _current = (byte[])_durable.Clone();
        }

        private void Keep(int sector)
        {
            var end = Math.Min((sector + 1) * Sector, _current.Length);
            Reserve(ref _durable, end);
            _current.AsSpan((sector * Sector)..end).CopyTo(_durable.AsSpan(sector * Sector));
        }

        private static void Reserve(ref byte[] bytes, int length)
        {
            if (length > bytes.Length)
            {
                Array.Resize(ref bytes, Math.Max(length, Math.Min(2 * bytes.Length, length + (1 << 16))));
            }
        }
    }
}
