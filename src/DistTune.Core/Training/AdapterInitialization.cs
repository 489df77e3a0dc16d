using DistTune.Core.Formats;
using DistTune.Core.Numerics;

namespace DistTune.Core.Training;

/// <summary>The values that training starts from: a function of layout, seed and base alone, the same on every machine.</summary>
public static class AdapterInitialization
{
    /// <summary>
    /// Starts an adapter or a model from scratch. All weights: matrices normal, norm gains one, biases zero. An adapter: as
    /// <see cref="AdapterSettings.Start"/> says; what it copies of the base needs <paramref name="weights"/>.
    /// </summary>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="initializerRange">Standard deviation of matrices when all weights are trained.</param>
    /// <param name="weights">The base's weights, where the adapter holds copies of them or their lengths.</param>
    /// <exception cref="DistTuneException">The start is not one that is made here, or the base lacks a weight.</exception>
    public static float[] Create(ParameterLayout layout, AdapterSettings settings, ulong seed, double initializerRange = 0.02, IWeightSource? weights = null)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        var values = new float[layout.Length];
        if (settings.Kind == AdapterKind.Full)
        {
            foreach (var entry in layout.Entries)
            {
                FillWeight(entry, Slice(values, entry), seed, initializerRange);
            }

            return values;
        }

        if (settings.Start == LoraStart.Pissa && weights is not null)
        {
            return PissaStart.Values(layout, settings, weights);
        }

        if (settings.Start is LoraStart.Pissa or LoraStart.Loftq)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"init_lora_weights: {settings.Start.ToString().ToLowerInvariant()} follows from the base and from how it is held, which are not known here. Use init_lora_weights: true.");
        }

        foreach (var entry in layout.Entries)
        {
            FillFactor(entry, Slice(values, entry), settings.Start, seed);
        }

        BaseCopies.Fill(layout, settings, values, weights);
        return values;
    }

    /// <summary>The values with which an adapter leaves the base as it is: zero factors, the base's own weights, biases and lengths.</summary>
    public static float[] Neutral(ParameterLayout layout, AdapterSettings settings, IWeightSource weights)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(weights);
        if (settings.Kind == AdapterKind.Full)
        {
            return FromBase(layout, weights);
        }

        var values = new float[layout.Length];
        BaseCopies.Fill(layout, settings, values, weights);
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
            BaseCopies.Read(weights, entry.Name, entry.Shape.AsSpan(), Slice(values, entry));
        }

        return values;
    }

    /// <summary>The part of a flat vector that is a tensor.</summary>
    internal static Span<float> Slice(float[] values, ParameterEntry entry) => values.AsSpan(checked((int)entry.Offset), checked((int)entry.Length));

    // What PEFT draws for each start; each tensor's numbers are a function of its name, so that it does not depend on the others.
    private static void FillFactor(ParameterEntry entry, Span<float> slice, LoraStart start, ulong seed)
    {
        switch (entry.Role, start)
        {
            case (TensorRole.LoraA, LoraStart.Gaussian):
                FillNormal(entry, slice, seed, 1.0 / entry.Shape[0]);
                break;
            case (TensorRole.LoraA, _):
            case (TensorRole.LoraB, LoraStart.Random):
                FillUniform(entry, slice, seed, 1 / Math.Sqrt(entry.Shape[^1]));
                break;
            case (TensorRole.EmbeddingB, _):
            case (TensorRole.EmbeddingA, LoraStart.Random):
                FillNormal(entry, slice, seed, 1);
                break;
            default:
                // B, an embedding's A and B's bias start at zero; the rest is copied from the base.
                break;
        }
    }

    private static void FillUniform(ParameterEntry entry, Span<float> slice, ulong seed, double bound)
    {
        var stream = CounterRandom.Stream(entry.Name);
        for (var i = 0; i < slice.Length; i++)
        {
            slice[i] = (float)(((2 * CounterRandom.Uniform(seed, stream, (ulong)i)) - 1) * bound);
        }
    }

    private static void FillNormal(ParameterEntry entry, Span<float> slice, ulong seed, double deviation)
    {
        var stream = CounterRandom.Stream(entry.Name);
        for (var i = 0; i < slice.Length; i++)
        {
            slice[i] = (float)(CounterRandom.Normal(seed, stream, (ulong)i) * deviation);
        }
    }

    private static void FillWeight(ParameterEntry entry, Span<float> slice, ulong seed, double initializerRange)
    {
        if (entry.Shape.Length == 1)
        {
            slice.Fill(entry.Role == TensorRole.Bias ? 0 : 1);
        }
        else
        {
            FillNormal(entry, slice, seed, initializerRange);
        }
    }
}
