using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>What a finished run leaves.</summary>
/// <param name="Adapter">The trained adapter.</param>
/// <param name="Steps">Every optimizer step.</param>
/// <param name="Measurements">Every measurement: the first is before training, the last after.</param>
public sealed record RunResult(AdapterVersion Adapter, ImmutableList<StepCommitted> Steps, ImmutableList<MeasurementClosed> Measurements);
