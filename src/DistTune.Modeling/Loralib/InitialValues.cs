using DistTune.Core.Training;

namespace DistTune.Modeling.Loralib;

/// <summary>Initial values from the counter-based generator, so that a seed gives the same layer everywhere.</summary>
internal static class InitialValues
{
    /// <summary>Uniform in ±1/√(inputs of one output): PyTorch's start of linear and convolution layers, and of A.</summary>
    public static Tensor Uniform(ulong seed, string stream, params long[] shape)
    {
        var bound = 1 / Math.Sqrt(shape.Skip(1).Aggregate(1L, (product, dimension) => product * dimension));
        return Fill(shape, stream, (number, i) => ((2 * CounterRandom.Uniform(seed, number, i)) - 1) * bound);
    }

    /// <summary>A bias of a layer with so many inputs an output.</summary>
    public static Tensor Bias(ulong seed, long inputs, long length)
    {
        var bound = 1 / Math.Sqrt(inputs);
        return Fill([length], "bias", (number, i) => ((2 * CounterRandom.Uniform(seed, number, i)) - 1) * bound);
    }

    /// <summary>Standard normal.</summary>
    public static Tensor Normal(ulong seed, string stream, params long[] shape) => Fill(shape, stream, (number, i) => CounterRandom.Normal(seed, number, i));

    private static Tensor Fill(long[] shape, string stream, Func<ulong, ulong, double> value)
    {
        var number = CounterRandom.Stream(stream);
        var values = new float[shape.Aggregate(1L, (product, dimension) => product * dimension)];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)value(number, (ulong)i);
        }

        return HostMemory.Upload<float>(values, shape, ScalarType.Float32, torch.CPU);
    }
}
