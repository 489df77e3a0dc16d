using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using DistTune.Core;
using DistTune.Core.Planning;
using DistTune.Core.Training;
using DistTune.Engine.Journal;
using DistTune.Engine.Storage;

namespace DistTune.Engine;

/// <summary>
/// A run on disk: journal, spool, redo gradients and snapshots in one folder that one coordinator holds at a time. Opening it brings the
/// run to where its journal says; nothing that was acknowledged is lost or computed again.
/// </summary>
public sealed class RunStore : IRunJournal, IDisposable
{
    private const string LockName = "lock";
    private const int FewestSnapshots = 2;
    private readonly List<string> _notices = [];
    private readonly RunStoreOptions _options;
    private readonly SnapshotFolder _snapshots;
    private readonly RedoLog _redo;
    private readonly IRunStorage _storage;
    private readonly IDisposable _lock;
    private JournalFile _journal;
    private GradientSpool? _spool;
    private bool _disposed;

    private RunStore(IRunStorage storage, RunPlan plan, RunStoreOptions options, TimeProvider time, IDisposable held)
    {
        _storage = storage;
        _options = options;
        _lock = held;
        Plan = plan;
        _snapshots = new SnapshotFolder(storage, SnapshotFolder.Folder);
        _redo = new RedoLog(storage, plan.Layout.Length);
        try
        {
            _journal = JournalFile.Open(storage, time, out var content);
            Content = content;
        }
        catch
        {
            _redo.Dispose();
            throw;
        }
    }

    /// <summary>The run's plan.</summary>
    public RunPlan Plan { get; }

    /// <summary>The run as it was found, in the term that begins now.</summary>
    public TrainingRun Found => Start.Run;

    /// <summary>Whether the run had begun before.</summary>
    public bool Resumed { get; private set; }

    /// <summary>What was amiss and has been dealt with, for the log.</summary>
    public IReadOnlyList<string> Notices => _notices;

    internal RunStart Start { get; private set; } = null!;

    private JournalContent Content { get; }

    /// <summary>Opens the run in its output folder, or starts it there.</summary>
    /// <param name="run">The run.</param>
    /// <param name="time">The clock, for what people read.</param>
    /// <param name="launch">See <see cref="RunStoreOptions.Launch"/>.</param>
    /// <exception cref="DistTuneException">Somebody else holds the folder, it holds another run, or its files are damaged.</exception>
    public static RunStore Open(PreparedRun run, TimeProvider time, string launch = "")
    {
        ArgumentNullException.ThrowIfNull(run);
        var folder = run.Config.OutputFolder;
        try
        {
            return Open(new FolderStorage(folder), run.Plan, run.InitialAdapter, RunStoreOptions.From(run.Config, launch), time);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"output_dir {folder} cannot be written: {fault.Message} Name a folder that can.", fault);
        }
    }

    /// <summary>Opens the run in a folder, or starts it there.</summary>
    /// <param name="storage">The run's folder.</param>
    /// <param name="plan">The run.</param>
    /// <param name="initial">The adapter it starts from.</param>
    /// <param name="options">What is kept, and what is done with a run that is there.</param>
    /// <param name="time">The clock, for what people read; nothing depends on it.</param>
    /// <exception cref="DistTuneException">Somebody else holds the folder, it holds another run, or its files are damaged.</exception>
    public static RunStore Open(IRunStorage storage, RunPlan plan, AdapterVersion initial, RunStoreOptions options, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(storage);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(initial);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        try
        {
            var held = storage.TryLock(LockName) ?? throw new DistTuneException(
                FaultKind.Configuration,
                $"Another coordinator drives the run in {storage.Describe("")}: it holds the lock '{LockName}'. Let it finish or stop it, or give this run another output_dir.");
            try
            {
                return OpenLocked(storage, plan, initial, options, time, held);
            }
            catch
            {
                held.Dispose();
                throw;
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new RunStorageException($"The run in {storage.Describe("")} cannot be opened: {fault.Message} Free the disk or repair it; the run goes on from there.", fault);
        }
    }

    /// <inheritdoc />
    public void Append(RunRecord record) => Guarded(() => _journal.Append(record));

    /// <summary>Cuts the journal to its records, closes everything and gives the folder free.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        try
        {
            _journal.Close();
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or RunStorageException)
        {
            // Only zeros stay behind the last record.
            Trace.WriteLine(fault.Message);
        }

        _journal.Dispose();
        _spool?.Dispose();
        _redo.Dispose();
        _lock.Dispose();
    }

    /// <summary>Takes a place in the spool for a group's gradient.</summary>
    internal SpoolSlot BeginSpool() => _spool!.Begin();

    /// <summary>Makes a group's gradient durable.</summary>
    internal SpoolPlace Keep(SpoolSlot slot)
    {
        SpoolPlace place = default;
        Guarded(() => place = slot.Keep());
        return place;
    }

    /// <summary>A spooled gradient is needed no more.</summary>
    internal void Free(SpoolPlace place) => _spool!.Free(place);

    /// <summary>Whether everything of an upload so far is as it was sent.</summary>
    /// <exception cref="RunStorageException">The disk failed.</exception>
    internal void Require(SpoolSlot slot) => Guarded(slot.Require);

    /// <returns>Whether the bytes of a part of a spooled gradient are there.</returns>
    internal bool TryReadSpooled(SpoolPlace place, long first, Span<float> values)
    {
        try
        {
            return _spool!.TryRead(place, first, values);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw Fault(fault);
        }
    }

    /// <summary>Makes the reduced gradient of a step that was taken durable; only then may what was spooled for it go.</summary>
    internal void KeepRedo(int step, ReadOnlySpan<float> gradient, int interval)
    {
        try
        {
            _redo.Keep(step, gradient, interval);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw Fault(fault);
        }
    }

    /// <summary>A step's sum is kept: nothing spooled for it counts any more.</summary>
    internal void ForgetSpooled(IEnumerable<GroupDone> results) => Guarded(() =>
    {
        foreach (var done in results)
        {
            if (done.Spool is { } place)
            {
                Free(place);
            }
        }

        _spool!.ForgetEarlierTerms();
    });

    /// <summary>Whether a snapshot should be taken now.</summary>
    internal bool SnapshotDue(TrainingRun run)
    {
        var since = run.Steps.Count - run.LastSnapshot;
        return since > 0 && ((_options.SaveSteps is { } interval && run.Steps.Count % interval == 0) || since * _redo.BytesPerStep >= _options.RedoLimitBytes);
    }

    /// <summary>Writes a snapshot and returns the record that makes it count.</summary>
    internal SnapshotTaken Snapshot(TrainingRun run, AdapterVersion adapter, AdapterOptimizer optimizer)
    {
        SnapshotTaken? taken = null;
        Guarded(() => taken = new SnapshotTaken(run.Steps.Count, _snapshots.Write(
            new RunSnapshot(run.Steps.Count, adapter, optimizer.FirstMoment, optimizer.SecondMoment, History(run)))));
        return taken!;
    }

    /// <summary>A snapshot counts: what only older ones need is deleted.</summary>
    internal void ForgetOld() => Guarded(() =>
    {
        if (_options.SaveTotalLimit is { } most)
        {
            _snapshots.Keep(Math.Max(FewestSnapshots, most));
        }

        // Should the newest turn out to be damaged, the one before leads to the same place.
        if (_snapshots.Steps is [.., var second, _])
        {
            _redo.ForgetBefore(second);
        }
    });

    private static RunStore OpenLocked(IRunStorage storage, RunPlan plan, AdapterVersion initial, RunStoreOptions options, TimeProvider time, IDisposable held)
    {
        var store = new RunStore(storage, plan, options, time, held);
        try
        {
            store.Begin(initial, time);
            return store;
        }
        catch
        {
            store._journal.Dispose();
            store._spool?.Dispose();
            store._redo.Dispose();
            throw;
        }
    }

    private static ImmutableArray<RunRecord> History(TrainingRun run) => [run.Opened!, .. run.Steps, .. run.Measurements];

    private void Begin(AdapterVersion initial, TimeProvider time)
    {
        var run = Fold(Content);
        if (Content.TornBytes > 0)
        {
            _notices.Add(string.Create(CultureInfo.InvariantCulture, $"The journal ended in {Content.TornBytes} bytes of a record that was never finished; they were cut off at byte {Content.End}."));
        }

        var sameLaunch = run.Opened is { Launch.Length: > 0 } opened && opened.Launch == _options.Launch;
        if (!sameLaunch && (_options.Anew || (run.State == RunState.Finished && _options.SnapshotPath is null && _storage.Exists(RunFolder.SummaryName))))
        {
            Discard(time);
            run = TrainingRun.Empty;
        }

        if (run.Opened is { } kept)
        {
            RequireSame(kept, initial, _storage.Describe(""));
            Resumed = true;
            Take(ref run, new TermBegun(run.Term + 1));
        }
        else
        {
            Take(ref run, new RunOpened(Plan.RunId, Plan.Hashes, initial.Sha256) { Settings = Plan.Settings, Launch = _options.Launch });
            Take(ref run, new TermBegun(1));
        }

        RestoreIfAsked(ref run, initial);
        _spool = new GradientSpool(_storage, run.Term, Plan.Layout.Length);
        Start = new RunRecovery(Plan, initial, new RunPieces(_snapshots, _redo, _spool), _notices).Rebuild(run);
    }

    private void RestoreIfAsked(ref TrainingRun run, AdapterVersion initial)
    {
        if (FindSnapshot(run) is not { } source || source.Path == run.RestoredFrom)
        {
            return;
        }

        var snapshot = source.Folder.Read(source.Step, Plan.Layout, Plan.Optimizer);
        RequireSame((RunOpened)snapshot.History[0], initial, source.Path);
        _snapshots.ForgetAfter(snapshot.Step);
        if (!_snapshots.Steps.Contains(snapshot.Step))
        {
            _snapshots.Write(snapshot);
        }

        Take(ref run, new RunRestored(source.Path, [.. snapshot.History.OfType<StepCommitted>()], [.. snapshot.History.OfType<MeasurementClosed>()]));
        Resumed = true;
    }

    private (SnapshotFolder Folder, int Step, string Path)? FindSnapshot(TrainingRun run)
    {
        if (_options.SnapshotPath is { } path)
        {
            path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
            return Directory.Exists(path) && SnapshotFolder.StepOf(Path.GetFileName(path)) is { } step && Path.GetDirectoryName(path) is { } parent
                ? (new SnapshotFolder(new FolderStorage(parent), ""), step, path)
                : throw new DistTuneException(FaultKind.Configuration, $"resume_from_checkpoint must be 'auto' or the folder of a snapshot, such as outputs/run/snapshots/step-000100, got '{path}', which is none.");
        }

        // Snapshots without a journal: somebody removed or lost it.
        return run.Steps.IsEmpty && run.Measurements.IsEmpty && _snapshots.Steps is [.., var newest]
            ? (_snapshots, newest, _storage.Describe(_snapshots.PathOf(newest)))
            : null;
    }

    private void Take(ref TrainingRun run, RunRecord record)
    {
        var next = run.Apply(record);
        _journal.Term = next.Term;
        _journal.Append(record);
        run = next;
    }

    private TrainingRun Fold(JournalContent content) =>
        content.Entries.Aggregate(TrainingRun.Empty, (run, entry) => entry.Follow(run, _storage.Describe(JournalFile.Name)));

    // The journal goes last: until then, whoever opens the folder again knows what to finish.
    private void Discard(TimeProvider time)
    {
        foreach (var folder in (string[])[SnapshotFolder.Folder, RedoLog.Folder, GradientSpool.Folder])
        {
            _storage.Delete(folder);
        }

        _storage.FlushFolder("");
        _journal.Dispose();
        _storage.Delete(JournalFile.Name);
        _storage.FlushFolder("");
        _journal = JournalFile.Open(_storage, time, out _);
    }

    private void RequireSame(RunOpened kept, AdapterVersion initial, string where)
    {
        if (RunIdentity.Differences(kept, Plan, initial) is { Count: > 0 } differences)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"{where} holds a run that cannot go on with this configuration, because its result would be another: {string.Join("; ", differences)}. " +
                "Change it back, give the new run another output_dir, or start anew in this one with --resume none, which deletes what it has.");
        }
    }

    private void Guarded(Action act)
    {
        try
        {
            act();
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw Fault(fault);
        }
    }

    private RunStorageException Fault(Exception fault) => new(
        $"The run in {_storage.Describe("")} cannot be kept: {fault.Message} It stops here and has lost nothing that was acknowledged; free the disk or repair it, then start it again.", fault);
}
