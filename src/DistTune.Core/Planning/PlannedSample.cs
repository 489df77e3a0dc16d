using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>One row, tokenised and cut to length.</summary>
/// <param name="TokenIds">The tokens, at least one.</param>
/// <param name="Labels">Trained ranges, ascending and disjoint.</param>
public sealed record PlannedSample(ImmutableArray<int> TokenIds, ImmutableArray<LabelSpan> Labels)
{
    /// <summary>Number of positions that carry loss.</summary>
    public int TrainedTokens => ToSegment(0).TrainedTokens;

    /// <summary>The row as a segment.</summary>
    public Segment ToSegment(long index) => new(TokenIds, Labels, index);
}

/// <summary>A prompt that is answered when the run measures itself.</summary>
/// <param name="TokenIds">The prompt's tokens, up to where the answer begins.</param>
/// <param name="Text">The prompt as a person reads it.</param>
/// <param name="Reference">The answer to compare with; null for a prompt that is only shown.</param>
public sealed record PlannedPrompt(ImmutableArray<int> TokenIds, string Text, string? Reference);
