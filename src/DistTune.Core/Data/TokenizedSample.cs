using System.Collections.Immutable;
using DistTune.Core.Planning;
using DistTune.Core.Training;

namespace DistTune.Core.Data;

/// <summary>One row, tokenised and cut to length.</summary>
/// <param name="TokenIds">The tokens, at least one.</param>
/// <param name="Labels">Trained ranges, ascending and disjoint.</param>
public sealed record TokenizedSample(ImmutableArray<int> TokenIds, ImmutableArray<LabelSpan> Labels)
{
    /// <summary>Tokens up to where the answer begins, ready to be continued; empty for a text without a prompt.</summary>
    public ImmutableArray<int> PromptIds { get; init; } = [];

    /// <summary>The last question as a person reads it; empty for a text without a prompt.</summary>
    public string PromptText { get; init; } = string.Empty;

    /// <summary>The answer's text, to compare a generated one with; null for a text without a prompt.</summary>
    public string? Reference { get; init; }

    /// <summary>File and line of the row.</summary>
    public string Place { get; init; } = string.Empty;

    /// <summary>Whether tokens were cut off to fit the sequence length.</summary>
    public bool Truncated { get; init; }

    /// <summary>Number of positions that carry loss.</summary>
    public int TrainedTokens => ToSegment(0).TrainedTokens;

    /// <summary>The sample as a segment.</summary>
    /// <param name="index">Its index in the data set.</param>
    public Segment ToSegment(long index) => new(TokenIds, Labels, index);

    /// <summary>The sample as the planner takes it.</summary>
    public PlannedSample ToPlannedSample() => new(TokenIds, Labels);

    /// <summary>The question as the planner takes it; null for a text without a prompt.</summary>
    public PlannedPrompt? ToPlannedPrompt() => Reference is null ? null : new PlannedPrompt(PromptIds, PromptText, Reference);
}

/// <summary>Which tokens of a conversation are trained.</summary>
public enum TrainedTurns
{
    /// <summary>The last assistant turn.</summary>
    Last,

    /// <summary>Every assistant turn; the chat template must mark them with <c>{% generation %}</c>.</summary>
    All,
}

/// <summary>How rows become tokens and labels.</summary>
/// <param name="SequenceLength">Longest sample in tokens; what is beyond is cut off at the end.</param>
public sealed record SampleSettings(int SequenceLength)
{
    /// <summary>Whether prompts carry loss too.</summary>
    public bool TrainOnInputs { get; init; }

    /// <summary>Which turns are trained.</summary>
    public TrainedTurns Turns { get; init; } = TrainedTurns.Last;

    /// <summary>
    /// Whether white space after the last end-of-turn token is kept and trained, as TRL does. By default it is cut off: generation stops
    /// at that token, so nothing after it is ever used.
    /// </summary>
    public bool KeepTrailingWhitespace { get; init; }
}
