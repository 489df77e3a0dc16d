using DistTune.Core.Formats;

namespace DistTune.Core.Training;

/// <summary>The parts of an adapter that start as the base's own: copies of weights and biases, and DoRA's lengths.</summary>
internal static class BaseCopies
{
    /// <summary>Fills those parts; the factors must be there already.</summary>
    /// <exception cref="DistTuneException">The base lacks a weight, or none was given and one is needed.</exception>
    public static void Fill(ParameterLayout layout, AdapterSettings settings, float[] values, IWeightSource? weights)
    {
        foreach (var entry in layout.Entries)
        {
            var slice = AdapterInitialization.Slice(values, entry);
            switch (entry.Role)
            {
                case TensorRole.Weight:
                    Read(Required(weights, entry), NameOf(Required(weights, entry), entry.Module), entry.Shape.AsSpan(), slice);
                    break;
                case TensorRole.Bias:
                    Read(Required(weights, entry), entry.Module + BaseModules.Bias, entry.Shape.AsSpan(), slice);
                    break;
                case TensorRole.Magnitude:
                    FillLengths(layout, settings, values, entry, Required(weights, entry), slice);
                    break;
                default:
                    break;
            }
        }
    }

    /// <summary>The name under which a base stores a module's matrix: a tied head's is the embedding's.</summary>
    public static string NameOf(IWeightSource weights, string module) =>
        module == BaseModules.Head && weights.Find(BaseModules.Head + BaseModules.Weight) is null
            ? BaseModules.Embedding + BaseModules.Weight
            : module + BaseModules.Weight;

    /// <summary>Reads a weight whose shape is known.</summary>
    /// <exception cref="DistTuneException">It is missing or of another shape.</exception>
    public static void Read(IWeightSource weights, string name, ReadOnlySpan<long> shape, Span<float> destination)
    {
        var found = weights.Find(name);
        if (found is null || !found.Shape.AsSpan().SequenceEqual(shape))
        {
            var got = found is null ? "is missing" : $"has shape [{string.Join(", ", found.Shape)}]";
            throw new DistTuneException(
                FaultKind.InvalidFile,
                $"The base's weight '{name}' {got}; [{string.Join(", ", shape.ToArray())}] is expected. Check that config.json and weights belong together.");
        }

        weights.ReadFloat32(name, destination);
    }

    private static IWeightSource Required(IWeightSource? weights, ParameterEntry entry) => weights
        ?? throw new ArgumentNullException(nameof(weights), $"'{entry.Name}' starts from the base, whose weights were not given.");

    // The length of each row of W + s B A, in double.
    private static void FillLengths(ParameterLayout layout, AdapterSettings settings, float[] values, ParameterEntry magnitude, IWeightSource weights, Span<float> lengths)
    {
        if (magnitude.Module == BaseModules.Embedding)
        {
            FillColumnLengths(layout, settings, values, magnitude, weights, lengths);
            return;
        }

        var a = Factor(layout, magnitude, TensorRole.LoraA);
        var b = Factor(layout, magnitude, TensorRole.LoraB);
        var (rows, width, rank) = (checked((int)b.Shape[0]), checked((int)a.Shape[1]), checked((int)a.Shape[0]));
        var matrix = new float[checked(rows * width)];
        Read(weights, NameOf(weights, magnitude.Module), [rows, width], matrix);
        var readers = AdapterInitialization.Slice(values, a);
        var writers = AdapterInitialization.Slice(values, b);
        var scale = settings.ScaleOf(magnitude.Module);
        var row = new double[width];
        for (var j = 0; j < rows; j++)
        {
            for (var i = 0; i < width; i++)
            {
                row[i] = matrix[(j * width) + i];
            }

            for (var r = 0; r < rank; r++)
            {
                AddScaled(row, readers.Slice(r * width, width), scale * writers[(j * rank) + r]);
            }

            double square = 0;
            foreach (var value in row)
            {
                square += value * value;
            }

            lengths[j] = (float)Math.Sqrt(square);
        }
    }

    // The length of each column of E + s (B A)^T, in double, token by token.
    private static void FillColumnLengths(ParameterLayout layout, AdapterSettings settings, float[] values, ParameterEntry magnitude, IWeightSource weights, Span<float> lengths)
    {
        var a = Factor(layout, magnitude, TensorRole.EmbeddingA);
        var (rank, tokens, width) = (checked((int)a.Shape[0]), checked((int)a.Shape[1]), lengths.Length);
        var matrix = new float[checked(tokens * width)];
        Read(weights, magnitude.Module + BaseModules.Weight, [tokens, width], matrix);
        var readers = AdapterInitialization.Slice(values, a);
        var writers = AdapterInitialization.Slice(values, Factor(layout, magnitude, TensorRole.EmbeddingB));
        var scale = settings.ScaleOf(magnitude.Module);
        var squares = new double[width];
        for (var token = 0; token < tokens; token++)
        {
            for (var d = 0; d < width; d++)
            {
                double value = matrix[(token * width) + d];
                for (var r = 0; r < rank; r++)
                {
                    value += scale * writers[(d * rank) + r] * readers[(r * tokens) + token];
                }

                squares[d] += value * value;
            }
        }

        for (var d = 0; d < width; d++)
        {
            lengths[d] = (float)Math.Sqrt(squares[d]);
        }
    }

    private static ParameterEntry Factor(ParameterLayout layout, ParameterEntry magnitude, TensorRole role) =>
        layout.Entries.First(entry => entry.Role == role && entry.Module == magnitude.Module);

    private static void AddScaled(double[] row, ReadOnlySpan<float> values, double factor)
    {
        if (factor == 0)
        {
            return;
        }

        for (var i = 0; i < row.Length; i++)
        {
            row[i] += factor * values[i];
        }
    }
}
