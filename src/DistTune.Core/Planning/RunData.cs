using System.Collections.Immutable;

namespace DistTune.Core.Planning;

/// <summary>The rows of a run, tokenised, and what happened on the way.</summary>
/// <param name="Training">Rows that are trained on.</param>
/// <param name="HeldOut">Rows that are held out.</param>
/// <param name="Prompts">Prompts of held-out rows first, then the sample prompts.</param>
/// <param name="DroppedRows">Rows without a token to train.</param>
/// <param name="TruncatedRows">Rows cut to the sequence length.</param>
internal sealed record RunData(
    ImmutableArray<PlannedSample> Training,
    ImmutableArray<PlannedSample> HeldOut,
    ImmutableArray<PlannedPrompt> Prompts,
    int DroppedRows,
    int TruncatedRows)
{
    /// <summary>The figures that are reported.</summary>
    public DataSummary Summary => new(
        Training.Length,
        HeldOut.Length,
        DroppedRows,
        TruncatedRows,
        Training.Sum(sample => (long)sample.TokenIds.Length),
        Training.Sum(sample => (long)sample.TrainedTokens));
}
