using System.Collections.Immutable;
using DistTune.Core.Configuration;
using DistTune.Core.Metrics;
using DistTune.Core.Models;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>What is known about the data once it is tokenised.</summary>
/// <param name="TrainingRows">Rows that are trained on.</param>
/// <param name="HeldOutRows">Rows that are held out.</param>
/// <param name="DroppedRows">Rows without a token to train, left out.</param>
/// <param name="TruncatedRows">Rows cut to the sequence length.</param>
/// <param name="Tokens">Tokens of all training rows.</param>
/// <param name="TrainedTokens">Those that carry loss.</param>
public sealed record DataSummary(int TrainingRows, int HeldOutRows, int DroppedRows, int TruncatedRows, long Tokens, long TrainedTokens)
{
    /// <summary>Share of the tokens that carry loss.</summary>
    public double TrainedShare => Tokens == 0 ? 0 : (double)TrainedTokens / Tokens;
}

/// <summary>An answer to one of the run's prompts.</summary>
/// <param name="Prompt">The prompt as a person reads it.</param>
/// <param name="Answer">The answer without special tokens.</param>
/// <param name="Reference">The answer to compare with, if there is one.</param>
public sealed record PromptAnswer(string Prompt, string Answer, string? Reference);

/// <summary>A run with everything that is needed to carry it out and to read its results.</summary>
public sealed record PreparedRun
{
    /// <summary>The configuration it comes from.</summary>
    public required RunConfig Config { get; init; }

    /// <summary>The plan: all that can change the result.</summary>
    public required RunPlan Plan { get; init; }

    /// <summary>What the base is.</summary>
    public required DecoderSpec Spec { get; init; }

    /// <summary>The base's tokenizer.</summary>
    public required Tokenizer Tokenizer { get; init; }

    /// <summary>The chat template; null if the base has none.</summary>
    public required ChatTemplate? Template { get; init; }

    /// <summary>What the data comes to.</summary>
    public required DataSummary Data { get; init; }

    /// <summary>The prompts of the generation groups, in the order of a measurement's continuations.</summary>
    public required ImmutableArray<PlannedPrompt> Prompts { get; init; }

    /// <summary>The adapter that training starts from.</summary>
    public required AdapterVersion InitialAdapter { get; init; }

    /// <summary>What the adapter that the configuration starts from lacks, which starts afresh, and has too much, which is left out; a line each.</summary>
    public ImmutableArray<string> InitialDifferences { get; init; } = [];

    /// <summary><see cref="InitialDifferences"/> in a sentence; null without any.</summary>
    public string? InitialNotice => InitialDifferences.IsEmpty
        ? null
        : FormattableString.Invariant($"{Config.InitialAdapter}: {InitialDifferences.Length} tensors differ from the run's adapter; missing ones start afresh, others are left out ({Listing.Of(InitialDifferences)})");

    /// <summary>Number of parameters of the base.</summary>
    public long BaseParameters => Spec.Weights.Sum(weight => weight.Shape.Aggregate(1L, (product, dimension) => checked(product * dimension)));

    /// <summary>The answers of a measurement, in the order of <see cref="Prompts"/>.</summary>
    /// <param name="continuations">The new tokens of every prompt, or none if nothing was generated.</param>
    public ImmutableArray<PromptAnswer> Answers(ImmutableArray<ImmutableArray<int>> continuations) =>
    [
        .. Prompts.Zip(continuations, (prompt, tokens) =>
            new PromptAnswer(prompt.Text, Tokenizer.Decode(tokens, skipSpecialTokens: true).Trim(), prompt.Reference)),
    ];

    /// <summary>Mean token F1 of the answers that have a reference; null if none has.</summary>
    public static double? F1(ImmutableArray<PromptAnswer> answers)
    {
        var compared = answers.Where(answer => answer.Reference is not null).ToArray();
        return compared.Length == 0 ? null : TokenF1.Mean(compared.Select(answer => (answer.Answer, answer.Reference!)));
    }
}
