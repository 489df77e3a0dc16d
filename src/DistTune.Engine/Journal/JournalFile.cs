using System.Buffers;
using System.Globalization;
using DistTune.Core;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>Appends records, each durable when <see cref="Append"/> returns. One thread at a time.</summary>
internal sealed class JournalFile : IDisposable
{
    public const string Name = "journal.log";
    private const int ExtentBytes = 1 << 16;
    private static readonly byte[] Zeros = new byte[ExtentBytes];
    private readonly IStorageFile _file;
    private readonly string _path;
    private readonly TimeProvider _time;
    private readonly ArrayBufferWriter<byte> _buffer = new(1024);
    private byte[] _previous;
    private long _end;
    private long _sequence;
    private long _extent;

    private JournalFile(IStorageFile file, string path, TimeProvider time, JournalContent content)
    {
        _file = file;
        _path = path;
        _time = time;
        _end = content.End;
        _previous = content.LastHash;
        _sequence = content.Entries.Count;
    }

    /// <summary>The term of what is appended from now on.</summary>
    public long Term { get; set; }

    /// <summary>Opens the journal: reads it whole, cuts off a torn tail, and stands at its end.</summary>
    /// <exception cref="DistTuneException">It is damaged before its tail.</exception>
    public static JournalFile Open(IRunStorage storage, TimeProvider time, out JournalContent content)
    {
        var path = storage.Describe(Name);
        var file = storage.Open(Name);
        try
        {
            content = JournalScan.Read(file, path);
            if (content.End == 0)
            {
                file.SetLength(0);
                file.Write(0, JournalScan.Magic);
                content = content with { End = JournalScan.Magic.Length };
            }

            file.SetLength(content.End);
            WriteLastAgain(file, content);
            file.Flush();
            storage.FlushFolder("");
            return new JournalFile(file, path, time, content) { _extent = content.End };
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <exception cref="RunStorageException">Another coordinator has written since: this one's term is over.</exception>
    public void Append(RunRecord record)
    {
        RequireNobodyElse();
        var facts = new FrameFacts(_sequence, Term, _previous, _time.GetUtcNow().ToUnixTimeMilliseconds());
        var frame = JournalFrame.Write(_buffer, record, facts);
        if (frame.Length > JournalFrame.MostBytes)
        {
            throw new DistTuneException(FaultKind.Failed, string.Create(CultureInfo.InvariantCulture, $"A record of {frame.Length} bytes does not fit into {_path}; it takes {JournalFrame.MostBytes}."));
        }

        if (_end + frame.Length > _extent)
        {
            // Zeros ahead of the end: a record that changes neither length nor extents of the file is durable several times sooner.
            var extent = _end + frame.Length + ExtentBytes;
            _file.Write(extent - ExtentBytes, Zeros);
            _extent = extent;
        }

        _file.Write(_end, frame);
        _file.Flush();
        _previous = JournalFrame.HashOf(frame);
        _end += frame.Length;
        _sequence++;
    }

    /// <summary>Leaves the file as long as its records; what is lost if that fails is nothing.</summary>
    public void Close()
    {
        RequireNobodyElse();
        _file.SetLength(_end);
    }

    public void Dispose() => _file.Dispose();

    // The flush of the last record may have failed in the process before. Its bytes are then read from memory as if they were there,
    // but no later flush would write them; written again, they are.
    private static void WriteLastAgain(IStorageFile file, JournalContent content)
    {
        var start = content.Entries is [.., var last] ? last.Offset : 0;
        var bytes = new byte[content.End - start];
        file.Write(start, bytes.AsSpan(0, file.Read(start, bytes)));
    }

    // The lock keeps a second coordinator out where there are locks. Where they fail (some network file systems), whoever was there
    // first notices that the journal went on without it, before it adds anything.
    private void RequireNobodyElse()
    {
        Span<byte> next = stackalloc byte[JournalFrame.HeaderBytes];
        var read = _file.Read(_end, next);
        if (next[..read].IndexOfAnyExcept((byte)0) >= 0 || _file.Length < _end)
        {
            throw new RunStorageException(FormattableString.Invariant(
                $"{_path} has gone on without this coordinator, whose term {Term} is over: another one has taken the run. This one stops."))
            {
                Superseded = true,
            };
        }
    }
}
