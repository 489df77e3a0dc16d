using DistTune.Core.Formats;

namespace DistTune.Core.Training;

/// <summary>The values that training starts from: a function of layout and seed alone, the same on every machine.</summary>
public static class AdapterInitialization
{
    /// <summary>
    /// Starts an adapter or a model from scratch. LoRA: A uniform in ±1/√in (Kaiming with a = √5, as PEFT), B zero, so that the adapter
    /// changes nothing at first. All weights: matrices normal, norm gains one, biases zero.
    /// </summary>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="initializerRange">Standard deviation of matrices when all weights are trained.</param>
    public static float[] Create(ParameterLayout layout, AdapterSettings settings, ulong seed, double initializerRange = 0.02)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        var values = new float[layout.Length];
        foreach (var entry in layout.Entries)
        {
            var slice = Slice(values, entry);
            if (settings.Kind == AdapterKind.Full)
            {
                FillWeight(entry, slice, seed, initializerRange);
            }
            else if (entry.Name.EndsWith(AdapterLayout.SuffixA, StringComparison.Ordinal))
            {
                FillUniform(entry, slice, seed);
            }
        }

        return values;
    }

    /// <summary>Starts the training of all weights from the base's own.</summary>
    /// <exception cref="DistTuneException">The base lacks a weight or has it in another shape.</exception>
    public static float[] FromBase(ParameterLayout layout, IWeightSource weights)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(weights);
        var values = new float[layout.Length];
        foreach (var entry in layout.Entries)
        {
            var found = weights.Find(entry.Name);
            if (found is null || !found.Shape.SequenceEqual(entry.Shape))
            {
                var got = found is null ? "is missing" : $"has shape [{string.Join(", ", found.Shape)}]";
                throw new DistTuneException(
                    FaultKind.InvalidFile,
                    $"The base's weight '{entry.Name}' {got}; [{string.Join(", ", entry.Shape)}] is expected. Check that config.json and weights belong together.");
            }

            weights.ReadFloat32(entry.Name, Slice(values, entry));
        }

        return values;
    }

    private static Span<float> Slice(float[] values, ParameterEntry entry) => values.AsSpan(checked((int)entry.Offset), checked((int)entry.Length));

    private static void FillUniform(ParameterEntry entry, Span<float> slice, ulong seed)
    {
        var bound = 1 / Math.Sqrt(entry.Shape[^1]);
        var stream = CounterRandom.Stream(entry.Name);
        for (var i = 0; i < slice.Length; i++)
        {
            slice[i] = (float)(((2 * CounterRandom.Uniform(seed, stream, (ulong)i)) - 1) * bound);
        }
    }

    private static void FillWeight(ParameterEntry entry, Span<float> slice, ulong seed, double initializerRange)
    {
        if (entry.Shape.Length == 1)
        {
            slice.Fill(entry.Name.EndsWith(".bias", StringComparison.Ordinal) ? 0 : 1);
            return;
        }

        var stream = CounterRandom.Stream(entry.Name);
        for (var i = 0; i < slice.Length; i++)
        {
            slice[i] = (float)(CounterRandom.Normal(seed, stream, (ulong)i) * initializerRange);
        }
    }
}
