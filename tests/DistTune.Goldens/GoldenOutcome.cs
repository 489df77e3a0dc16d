namespace DistTune.Goldens;

/// <summary>How a golden case ended.</summary>
public enum GoldenVerdict
{
    /// <summary>Every number is within its tolerance.</summary>
    Passed,

    /// <summary>A number is not, or the case could not be computed.</summary>
    Failed,

    /// <summary>The case asks for something that the product does not do.</summary>
    Unsupported,
}

/// <summary>The result of one golden case.</summary>
/// <param name="Case">The case's path under the folder that was searched.</param>
/// <param name="Outcome">How it ended.</param>
/// <param name="Why">What was compared and came closest to its tolerance, what failed, or what is not supported.</param>
/// <param name="LargestError">The error that came closest to its tolerance; null if nothing was compared.</param>
/// <param name="Tolerance">That number's tolerance.</param>
public sealed record GoldenOutcome(string Case, GoldenVerdict Outcome, string Why, double? LargestError, double? Tolerance);

/// <summary>The case asks for something that the product does not do.</summary>
public sealed class GoldenUnsupportedException(string reason) : Exception(reason);
