using System.Collections.Immutable;

namespace DistTune.Core.Training;

/// <summary>Half-open range [Start, End) of token positions that are trained: token <c>t</c> is predicted from the tokens before it.</summary>
public readonly record struct LabelSpan(int Start, int End);

/// <summary>
/// One sequence: positions and causal attention start anew here. Several segments stand in one micro-batch one after another,
/// without padding; packed rows are nothing but several segments.
/// </summary>
/// <param name="TokenIds">The tokens, at least one.</param>
/// <param name="Labels">Trained ranges, ascending, disjoint, within the tokens. A range that starts at 0 trains nothing at position 0.</param>
/// <param name="Sample">Index of the sample in the data set; seeds what is random about the sample (dropout, sampling).</param>
public sealed record Segment(ImmutableArray<int> TokenIds, ImmutableArray<LabelSpan> Labels, long Sample)
{
    /// <summary>Number of positions that carry loss.</summary>
    public int TrainedTokens => Labels.Sum(span => Math.Max(0, span.End - Math.Max(1, span.Start)));
}

/// <summary>The segments that are computed together in one forward and backward. Fixed by the plan, never chosen by a worker.</summary>
public sealed record MicroBatch(ImmutableArray<Segment> Segments);

/// <summary>What a group is computed for.</summary>
public enum GroupKind
{
    /// <summary>Forward and backward: loss sum and gradient.</summary>
    Train,

    /// <summary>Forward only: loss sum.</summary>
    Evaluate,

    /// <summary>Each segment is a prompt that is continued.</summary>
    Generate,
}

/// <summary>How prompts are continued.</summary>
/// <param name="MaxNewTokens">Upper bound of new tokens a prompt.</param>
/// <param name="StopTokens">Tokens that end a continuation; the stop token is included in the result.</param>
/// <param name="Temperature">0 is greedy; otherwise logits are divided by it.</param>
/// <param name="TopP">Smallest set of tokens whose probability reaches this; 1 keeps all.</param>
/// <param name="Seed">Seed of the sampling, mixed with the sample index.</param>
public sealed record GenerationSettings(int MaxNewTokens, ImmutableArray<int> StopTokens, double Temperature = 0, double TopP = 1, ulong Seed = 0);

/// <summary>A fixed list of micro-batches: the unit that is leased, computed and reduced.</summary>
/// <param name="RunId">The run it belongs to.</param>
/// <param name="Step">Global step, from 0. Evaluation and generation before the first step are step 0 too, after the last the step count.</param>
/// <param name="Index">Index of the group within its step (and kind).</param>
/// <param name="Kind">What is computed.</param>
/// <param name="MicroBatches">The micro-batches, in order.</param>
/// <param name="Generation">Set when <paramref name="Kind"/> is <see cref="GroupKind.Generate"/>.</param>
public sealed record GroupSpec(
    string RunId,
    int Step,
    int Index,
    GroupKind Kind,
    ImmutableArray<MicroBatch> MicroBatches,
    GenerationSettings? Generation = null)
{
    /// <summary>Number of positions that carry loss in all micro-batches.</summary>
    public long TrainedTokens => MicroBatches.Sum(batch => batch.Segments.Sum(segment => (long)segment.TrainedTokens));

    /// <summary>Number of tokens in all micro-batches.</summary>
    public long TotalTokens => MicroBatches.Sum(batch => batch.Segments.Sum(segment => (long)segment.TokenIds.Length));
}
