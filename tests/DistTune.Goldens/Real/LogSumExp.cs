namespace DistTune.Goldens.Real;

/// <summary>The logarithm of the sum of exponentials, in double.</summary>
internal static class LogSumExp
{
    /// <summary>Of one position's logits.</summary>
    public static double Of(ReadOnlySpan<float> logits)
    {
        double largest = double.NegativeInfinity;
        foreach (var logit in logits)
        {
            largest = Math.Max(largest, logit);
        }

        double sum = 0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit - largest);
        }

        return largest + Math.Log(sum);
    }
}
