using DistTune.Core.Training;

namespace DistTune.Modeling.Generation;

/// <summary>
/// Chooses the next token from fp32 logits. What is random is a hash of seed, sample and position, so that any worker chooses alike.
/// </summary>
internal sealed class TokenSampler(GenerationSettings settings)
{
    /// <summary>The next token.</summary>
    /// <param name="logits">[V].</param>
    /// <param name="sample">Index of the sample.</param>
    /// <param name="position">Index of the new token in its sequence.</param>
    public int Next(ReadOnlySpan<float> logits, long sample, int position)
    {
        if (settings.Temperature <= 0)
        {
            return Largest(logits);
        }

        var probabilities = Probabilities(logits, settings.Temperature);
        var draw = Uniform(settings.Seed, sample, position);
        return settings.TopP < 1 ? DrawNucleus(probabilities, settings.TopP, draw) : Draw(probabilities, draw);
    }

    // The first one wins a tie.
    private static int Largest(ReadOnlySpan<float> logits)
    {
        var best = 0;
        for (var token = 1; token < logits.Length; token++)
        {
            if (logits[token] > logits[best])
            {
                best = token;
            }
        }

        return best;
    }

    private static double[] Probabilities(ReadOnlySpan<float> logits, double temperature)
    {
        var peak = logits[Largest(logits)] / temperature;
        var weights = new double[logits.Length];
        double sum = 0;
        for (var token = 0; token < weights.Length; token++)
        {
            weights[token] = Math.Exp((logits[token] / temperature) - peak);
            sum += weights[token];
        }

        for (var token = 0; token < weights.Length; token++)
        {
            weights[token] /= sum;
        }

        return weights;
    }

    private static int Draw(ReadOnlySpan<double> probabilities, double draw)
    {
        double cumulative = 0;
        var last = 0;
        for (var token = 0; token < probabilities.Length; token++)
        {
            if (probabilities[token] <= 0)
            {
                continue;
            }

            cumulative += probabilities[token];
            last = token;
            if (draw < cumulative)
            {
                return token;
            }
        }

        // Rounding may leave the sum a hair below the draw.
        return last;
    }

    // Holtzman et al. 2020, arXiv:1904.09751: the smallest set of likeliest tokens that reaches topP.
    private static int DrawNucleus(double[] probabilities, double topP, double draw)
    {
        var order = new int[probabilities.Length];
        for (var token = 0; token < order.Length; token++)
        {
            order[token] = token;
        }

        Array.Sort(order, (left, right) =>
        {
            var byProbability = probabilities[right].CompareTo(probabilities[left]);
            return byProbability != 0 ? byProbability : left.CompareTo(right);
        });
        var count = 0;
        double mass = 0;
        do
        {
            mass += probabilities[order[count++]];
        }
        while (count < order.Length && mass < topP);

        var nucleus = new double[count];
        for (var rank = 0; rank < count; rank++)
        {
            nucleus[rank] = probabilities[order[rank]] / mass;
        }

        return order[Draw(nucleus, draw)];
    }

    private static double Uniform(ulong seed, long sample, int position)
    {
        var bits = Mix(Mix(Mix(seed) ^ (ulong)sample) ^ (uint)position);
        return (bits >> 11) * (1.0 / (1UL << 53));
    }

    // The finaliser of SplitMix64 (Steele et al. 2014), a bijection with full avalanche.
    private static ulong Mix(ulong value)
    {
        unchecked
        {
            value += 0x9E3779B97F4A7C15;
            value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
            value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
            return value ^ (value >> 31);
        }
    }
}
