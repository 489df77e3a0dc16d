using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>A run's journal, read without changing anything: also while a coordinator writes it.</summary>
/// <param name="Entries">Its records, in order.</param>
/// <param name="TornBytes">Bytes of a last record that is not whole; the next coordinator cuts them off.</param>
/// <param name="Snapshots">Steps of the snapshots in the folder, ascending.</param>
public sealed record RunHistory(IReadOnlyList<JournalEntry> Entries, long TornBytes, ImmutableArray<int> Snapshots)
{
    /// <summary>Reads the journal of a run's folder.</summary>
    /// <exception cref="DistTuneException">There is none, or it is damaged; the message has the offset.</exception>
    public static RunHistory Read(string folder)
    {
        var path = Path.Combine(folder, JournalFile.Name);
        if (!File.Exists(path))
        {
            throw new DistTuneException(FaultKind.Configuration, $"'{folder}' holds no run: there is no '{JournalFile.Name}'. Give the run's output_dir.");
        }

        var storage = new FolderStorage(folder);
        using var file = storage.Open(JournalFile.Name);
        var content = JournalScan.Read(file, path);
        return new RunHistory(content.Entries, content.TornBytes, [.. new SnapshotFolder(storage, SnapshotFolder.Folder).Steps]);
    }

    /// <summary>The run as its records leave it.</summary>
    public TrainingRun Run() => Entries.Aggregate(TrainingRun.Empty, (run, entry) => entry.Follow(run, JournalFile.Name));
}
