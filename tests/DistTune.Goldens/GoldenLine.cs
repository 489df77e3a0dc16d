using System.Text.Json.Serialization;

namespace DistTune.Goldens;

/// <summary>An outcome as a line of JSON, in the names that readers of the output rely on.</summary>
internal sealed record GoldenLine(
    [property: JsonPropertyName("case")] string Case,
    [property: JsonPropertyName("outcome")] string Outcome,
    [property: JsonPropertyName("why")] string Why,
    [property: JsonPropertyName("largest_error")] double? LargestError,
    [property: JsonPropertyName("tolerance")] double? Tolerance)
{
    public static GoldenLine Of(GoldenOutcome outcome) =>
        new(outcome.Case, outcome.Outcome.ToString().ToLowerInvariant(), outcome.Why, Finite(outcome.LargestError), Finite(outcome.Tolerance));

    // JSON has no infinity; an error without bound has its story in Why.
    private static double? Finite(double? number) => number is { } value && double.IsFinite(value) ? value : null;
}
