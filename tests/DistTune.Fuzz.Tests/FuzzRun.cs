using System.Diagnostics;
using System.Globalization;
using DistTune.Core;

namespace DistTune.Fuzz.Tests;

/// <summary>
/// Feeds a format's files to its reader. Each must end in success or a <see cref="DistTuneException"/>, within a bound of allocated bytes
/// and of time; anything else fails with the case's number, which replays it.
/// </summary>
internal sealed class FuzzRun : IDisposable
{
    // A case takes milliseconds; on a machine that is busy with other things it may take long, and an endless one takes for ever.
    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Hung = TimeSpan.FromSeconds(30);

    // What a thread of the pool has: readers may not count on more.
    private const int StackBytes = 1536 * 1024;

    private readonly FuzzFormat _format;
    private readonly string _folder;
    private string? _fault;
    private string _current = "";

    private FuzzRun(FuzzFormat format)
    {
        _format = format;
        _folder = Directory.CreateTempSubdirectory($"disttune-fuzz-{format.Name}-").FullName;
    }

    /// <summary>Runs the valid files, the hostile ones, then mutations from number <paramref name="first"/> on.</summary>
    /// <returns>How many files were refused.</returns>
    public static int Run(FuzzFormat format, int first, int count)
    {
        using var run = new FuzzRun(format);
        var refused = 0;
        var worker = new Thread(() => refused = run.All(first, count), StackBytes) { IsBackground = true };
        worker.Start();
        var last = "";
        while (!worker.Join(Hung))
        {
            var current = Volatile.Read(ref run._current);
            Assert.True(!ReferenceEquals(current, last), $"{format.Name}, {current}: it does not end.");
            last = current;
        }

        Assert.True(run._fault is null, run._fault);
        return refused;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string Replay(FuzzFormat format, int seed) => string.Create(
        CultureInfo.InvariantCulture, $"Replay: DISTTUNE_FUZZ={format.Name}:{seed} with -method '*Replay*' -explicit on");

    private int All(int first, int count)
    {
        var refused = 0;
        foreach (var (index, content) in _format.Corpus.Index())
        {
            if (One(content, index, $"valid file {index}") is not null)
            {
                _fault ??= string.Create(CultureInfo.InvariantCulture, $"{_format.Name}: the valid file {index} is refused: {One(content, index, "valid")}");
            }
        }

        foreach (var file in _format.Hostile)
        {
            refused += One(file.Content, 0, $"'{file.Name}'") is null ? 0 : 1;
        }

        for (var seed = first; seed < first + count && _fault is null; seed++)
        {
            var random = new Random(seed);
            var corpus = _format.Corpus;
            var content = _format.Mutate(random, corpus[random.Next(corpus.Count)]);
            refused += One(content, seed, string.Create(CultureInfo.InvariantCulture, $"case {seed}")) is null ? 0 : 1;
        }

        return refused;
    }

    /// <summary>Reads one file; null if it was read, the refusal otherwise.</summary>
    private string? One(byte[] content, int seed, string what)
    {
        Volatile.Write(ref _current, what);
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var started = Stopwatch.GetTimestamp();
        string? refusal = null;
        try
        {
            _format.Read(content, _folder);
        }
        catch (DistTuneException fault)
        {
            refusal = fault.Message;
        }
        catch (Exception fault)
        {
            _fault ??= $"{_format.Name}, {what}: {fault}\n{Replay(_format, seed)}";
        }

        var elapsed = Stopwatch.GetElapsedTime(started);
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        if (allocated > _format.AllocationBound(content.Length))
        {
            _fault ??= string.Create(
                CultureInfo.InvariantCulture,
                $"{_format.Name}, {what}: {content.Length} bytes made the reader allocate {allocated}; the bound is {_format.AllocationBound(content.Length)}. {Replay(_format, seed)}");
        }

        if (elapsed > Slow)
        {
            _fault ??= string.Create(CultureInfo.InvariantCulture, $"{_format.Name}, {what}: took {elapsed.TotalSeconds:F1} s. {Replay(_format, seed)}");
        }

        return refusal;
    }
}
