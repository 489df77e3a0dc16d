namespace DistTune.Engine.Journal;

/// <summary>The type of a record in the journal's file. Numbers are never used again for something else.</summary>
internal enum RecordType : uint
{
    RunOpened = 1,
    TermBegun = 2,
    StageOpened = 3,
    GroupDone = 4,
    StepCommitted = 5,
    SnapshotTaken = 6,
    MeasurementClosed = 7,
    DeterminismViolated = 8,
    GroupReopened = 9,
    RunRestored = 10,
    RunFinished = 11,
    RunFailed = 12,
    WorkerQuarantined = 13,
    NonFiniteFound = 14,
    CanarySet = 15,
}
