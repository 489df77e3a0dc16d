using System.Collections.Immutable;

namespace DistTune.Core.Training;

/// <summary>An immutable set of adapter values, addressed by content.</summary>
/// <param name="Sha256">Lower-case hexadecimal SHA-256 of <paramref name="Values"/> as little-endian fp32.</param>
/// <param name="Values">The flat vector, in the run's <see cref="ParameterLayout"/>.</param>
public sealed record AdapterVersion(string Sha256, ReadOnlyMemory<float> Values);

/// <summary>Where a group's seconds went. Telemetry only; never part of a result's identity.</summary>
public readonly record struct GroupTimings(double ForwardSeconds, double BackwardSeconds, double UploadSeconds);

/// <summary>What a worker reports of a group besides its gradient. Sums and counts travel, means don't.</summary>
/// <param name="LossSum">Sum of the negative log-likelihood over trained tokens, in nats.</param>
/// <param name="TrainedTokens">Number of positions summed.</param>
/// <param name="TotalTokens">Number of tokens computed.</param>
/// <param name="Continuations">For generation: the new tokens of each segment, in order; empty otherwise.</param>
/// <param name="Timings">Where the time went.</param>
public sealed record GroupOutcome(
    double LossSum,
    long TrainedTokens,
    long TotalTokens,
    ImmutableArray<ImmutableArray<int>> Continuations,
    GroupTimings Timings);

/// <summary>Takes the parts of a group's gradient as they become final, layer by layer, in any order, each element once.</summary>
public interface IGradientSink
{
    /// <summary>Takes <paramref name="values"/> at <paramref name="offset"/> floats of the flat vector. The memory is only valid during the call.</summary>
    void Write(long offset, ReadOnlySpan<float> values);

    /// <summary>Called as work goes on (each layer, each generated token), so that a lease can be renewed by progress.</summary>
    void Progress();
}

/// <summary>A sink that also sees generated tokens as they come.</summary>
public interface ITokenSink : IGradientSink
{
    /// <summary>Takes the next token of a prompt's continuation.</summary>
    /// <param name="sample">The prompt's <see cref="Segment.Sample"/>.</param>
    /// <param name="token">The token; the last one may be a stop token.</param>
    void Append(long sample, int token);
}

/// <summary>Computes a group on one device. Pure and deterministic: the result depends on the arguments alone, never on threads.</summary>
public interface IGroupComputer : IAsyncDisposable
{
    /// <summary>How many groups can be computed at the same time.</summary>
    int Slots { get; }

    /// <summary>Computes the group with the given adapter and hands its gradient (training only) to <paramref name="sink"/>.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled; nothing of the group may be used.</exception>
    Task<GroupOutcome> ComputeAsync(GroupSpec group, AdapterVersion adapter, IGradientSink sink, CancellationToken cancellationToken);
}
