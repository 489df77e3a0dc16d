using System.Globalization;

namespace DistTune.Goldens;

/// <summary>Compares numbers with their golden values and remembers the one that came closest to (or went farthest past) its tolerance.</summary>
public sealed class ErrorMeter
{
    private double _worstShare = -1;

    /// <summary>The error that came closest to its tolerance.</summary>
    public double? LargestError { get; private set; }

    /// <summary>That error's tolerance.</summary>
    public double? Tolerance { get; private set; }

    /// <summary>What that number is.</summary>
    public string Subject { get; private set; } = "nothing was compared";

    /// <summary>Whether every number is within its tolerance, and there was one.</summary>
    public bool Passed => _worstShare is >= 0 and <= 1;

    /// <summary>Notes an error.</summary>
    public void Note(string subject, double error, double tolerance)
    {
        // Not a number compares as too large.
        var share = double.IsNaN(error) ? double.PositiveInfinity : tolerance > 0 ? error / tolerance : error == 0 ? 0 : double.PositiveInfinity;
        if (share > _worstShare)
        {
            (_worstShare, LargestError, Tolerance, Subject) = (share, error, tolerance, subject);
        }
    }

    /// <summary>Compares one number.</summary>
    public void Absolute(string subject, double actual, double expected, double tolerance) =>
        Note(subject, Math.Abs(actual - expected), tolerance);

    /// <summary>Compares one number relative to the expected one.</summary>
    public void Relative(string subject, double actual, double expected, double tolerance) =>
        Note(subject, Math.Abs(actual - expected) / Math.Max(Math.Abs(expected), 1e-30), tolerance);

    /// <summary>Compares vectors by their largest difference.</summary>
    public void Absolute(string subject, ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, double tolerance)
    {
        if (actual.Length != expected.Length)
        {
            throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"{subject}: {actual.Length} values, {expected.Length} expected."));
        }

        double largest = 0;
        for (var index = 0; index < actual.Length; index++)
        {
            var difference = Math.Abs((double)actual[index] - expected[index]);
            largest = double.IsNaN(difference) ? double.NaN : Math.Max(largest, difference);
        }

        Note(subject, largest, tolerance);
    }

    /// <summary>Requires equality, such as of ids or counts.</summary>
    public void Equal<T>(string subject, T actual, T expected) => Note(subject, EqualityComparer<T>.Default.Equals(actual, expected) ? 0 : 1, 0);
}
