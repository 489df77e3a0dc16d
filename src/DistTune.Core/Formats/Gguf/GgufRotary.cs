using System.Text.Json.Nodes;

namespace DistTune.Core.Formats;

/// <summary>The rotary scaling of a GGUF file in the words of config.json.</summary>
internal static class GgufRotary
{
    // Every released Llama 3.1, 3.2 and 3.3 has these; the file keeps only the factors that follow from them.
    private const double LowFrequencyFactor = 1;
    private const double HighFrequencyFactor = 4;
    private const int OriginalPositions = 8192;
    private const double Tolerance = 1e-4;
    private const string UseFolder = "Use the model's Hugging Face folder instead.";

    /// <summary>The scaling, or null if frequencies are not stretched.</summary>
    /// <param name="file">The file.</param>
    /// <param name="architecture">Prefix of its metadata keys.</param>
    /// <param name="headDimension">Rotated dimensions of a head.</param>
    /// <param name="theta">Base of the frequencies.</param>
    /// <param name="factors">The tensor that divides each frequency, if there is one.</param>
    /// <exception cref="DistTuneException">The factors are not those of Llama 3's scaling.</exception>
    public static JsonObject? Scaling(GgufFile file, string architecture, int headDimension, double theta, GgufTensor? factors)
    {
        if (factors is not null)
        {
            return Llama3(file, headDimension, theta, factors);
        }

        var metadata = file.Metadata;
        var type = metadata.FindString($"{architecture}.rope.scaling.type") ?? "linear";
        var factor = metadata.FindNumber($"{architecture}.rope.scaling.factor") ?? metadata.FindNumber($"{architecture}.rope.scale_linear") ?? 1;
        return type switch
        {
            "none" => null,
            "linear" => factor is 0 or 1 ? null : new JsonObject { ["factor"] = factor, ["rope_type"] = type },
            // The file's words for the other kinds leave out what config.json says of them.
            _ => throw new DistTuneException(
                FaultKind.Configuration,
                $"{file.Path}: {architecture}.rope.scaling.type is '{type}', which cannot be read from a GGUF file. Supported: linear, none. {UseFolder}"),
        };
    }

    private static JsonObject Llama3(GgufFile file, int headDimension, double theta, GgufTensor tensor)
    {
        if (tensor.Length != headDimension / 2)
        {
            throw FileFault.Of(
                file.Path,
                $"'{tensor.Name}' has {tensor.Length} factors; heads of width {headDimension} need {headDimension / 2}",
                GgufReader.FetchAgain);
        }

        var stored = new float[tensor.Length];
        file.ReadFloat32(tensor, stored);

        // The lowest frequency is stretched by the whole factor, the highest not at all.
        var factor = Math.Round(stored[^1]);
        var expected = Factors(headDimension, theta, factor);
        for (var i = 0; i < stored.Length; i++)
        {
            if (!(Math.Abs(stored[i] - expected[i]) <= Tolerance * expected[i]))
            {
                throw FileFault.Of(
                    file.Path,
                    FormattableString.Invariant($"the rotary factors in '{tensor.Name}' are not those of Llama 3's scaling ({LowFrequencyFactor}, {HighFrequencyFactor}, {OriginalPositions}): factor {i} is {stored[i]} instead of {expected[i]}"),
                    UseFolder);
            }
        }

        return new JsonObject
        {
            ["factor"] = factor,
            ["high_freq_factor"] = HighFrequencyFactor,
            ["low_freq_factor"] = LowFrequencyFactor,
            ["original_max_position_embeddings"] = OriginalPositions,
            ["rope_type"] = "llama3",
        };
    }

    private static double[] Factors(int headDimension, double theta, double factor)
    {
        var factors = new double[headDimension / 2];
        for (var i = 0; i < factors.Length; i++)
        {
            var wavelength = 2 * Math.PI * Math.Pow(theta, 2.0 * i / headDimension);
            var smooth = ((OriginalPositions / wavelength) - LowFrequencyFactor) / (HighFrequencyFactor - LowFrequencyFactor);
            factors[i] = smooth >= 1 ? 1 : smooth <= 0 ? factor : 1 / (((1 - smooth) / factor) + smooth);
        }

        return factors;
    }
}
