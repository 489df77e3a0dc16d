using System.Collections.Immutable;

namespace DistTune.Engine;

/// <summary>Keeps a run's records in order. A record is durable when <see cref="Append"/> returns; only then is it acted upon.</summary>
public interface IRunJournal
{
    /// <summary>Appends a record. Calls never overlap.</summary>
    void Append(RunRecord record);
}

/// <summary>Keeps the records in memory: for a run that need not survive its process, and for tests.</summary>
public sealed class InMemoryRunJournal : IRunJournal
{
    private ImmutableList<RunRecord> _records = [];

    /// <summary>What was appended so far.</summary>
    public IReadOnlyList<RunRecord> Records => _records;

    /// <inheritdoc />
    public void Append(RunRecord record) => _records = _records.Add(record);
}
