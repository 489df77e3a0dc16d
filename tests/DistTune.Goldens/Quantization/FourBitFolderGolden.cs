using System.Globalization;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Quantization;
using DistTune.Goldens.Models;

namespace DistTune.Goldens.Quantization;

/// <summary>
/// A model folder in full beside the same model as transformers saves it in four bits: what we write is the same tensors, byte for byte.
/// The quantised folder is a case too: it is read.
/// </summary>
public sealed class FourBitFolderGolden : IGoldenKind
{
    private const string Field = "quantization_config";
    private const string Weights = "*.safetensors";
    private const double CodesOff = 1e-3;

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder)
    {
        if (!IsModel(folder))
        {
            return [];
        }

        return IsQuantized(folder) || Counterpart(folder) is not null ? [GoldenCase.OfFolder(folder)] : [];
    }

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        if (IsQuantized(golden.Path))
        {
            var spec = GoldenModels.Describe(golden.Path);
            using var weights = WeightSources.Open(golden.Path);
            ModelFamilies.CheckWeights(spec, weights, golden.Path);
            meter.Equal("linear modules in four bits", FourBitModules.Of(spec).All(name => (weights as IFourBitWeights)?.FindFourBit(name) is not null), true);
            return Task.CompletedTask;
        }

        var written = Directory.CreateTempSubdirectory("disttune-golden-");
        try
        {
            Compare(golden.Path, Counterpart(golden.Path)!, written.FullName, meter);
        }
        finally
        {
            written.Delete(recursive: true);
        }

        return Task.CompletedTask;
    }

    private static void Compare(string source, string expectedFolder, string folder, ErrorMeter meter)
    {
        FourBitFolder.Write(folder, source, GoldenModels.Describe(source), Settings(expectedFolder));
        using var actual = TensorFile.Open(Path.Combine(folder, WeightSources.SingleFileName));
        var names = new List<string>();
        foreach (var path in Directory.EnumerateFiles(expectedFolder, Weights))
        {
            using var expected = TensorFile.Open(path);
            names.AddRange(expected.Names);
            CompareTensors(actual, expected, meter);
        }

        meter.Equal("names of tensors", actual.Names.Order(StringComparer.Ordinal).SequenceEqual(names.Order(StringComparer.Ordinal), StringComparer.Ordinal), true);
        var (ours, theirs) = (JsonCase.Root(Path.Combine(folder, ModelFamilies.ConfigName)), JsonCase.Root(Path.Combine(expectedFolder, ModelFamilies.ConfigName)));
        meter.Equal(Field, JsonElement.DeepEquals(ours.GetProperty(Field), theirs.GetProperty(Field)), true);
    }

    private static void CompareTensors(TensorFile actual, TensorFile expected, ErrorMeter meter)
    {
        foreach (var name in expected.Names.Where(actual.Has))
        {
            // A state is a text, as long as its numbers are.
            meter.Equal($"shape and type of {name}", (IsState(name) || actual.Shape(name).SequenceEqual(expected.Shape(name))) && actual.Type(name) == expected.Type(name), true);
            if (actual.Type(name) != WeightType.UInt8)
            {
                // Nested scales follow from the mean of the scales, which may be an ulp off.
                var values = expected.Floats(name);
                meter.Absolute(name, actual.Floats(name), values, name.EndsWith(".nested_absmax", StringComparison.Ordinal) ? values.Max() * 1e-6 : 0);
                continue;
            }

            CompareBytes(name, actual.Integers(name), expected.Integers(name), meter);
        }
    }

    private static void CompareBytes(string name, long[] actual, long[] expected, ErrorMeter meter)
    {
        if (IsState(name))
        {
            CompareStates(name, Text(actual), Text(expected), meter);
        }
        else if (name.EndsWith(".absmax", StringComparison.Ordinal))
        {
            meter.Note($"{name}: share of codes that differ", (double)actual.Zip(expected, (code, other) => code == other ? 0 : 1).Sum() / actual.Length, CodesOff);
        }
        else
        {
            meter.Equal(name, actual.AsSpan().SequenceEqual(expected), true);
        }
    }

    private static bool IsState(string name) => name.Contains(".quant_state.", StringComparison.Ordinal);

    // The mean of the scales is known within one ulp; all else of the text is the same.
    private static void CompareStates(string name, string actual, string expected, ErrorMeter meter)
    {
        const string Offset = "\"nested_offset\": ";
        var marks = (Actual: actual.IndexOf(Offset, StringComparison.Ordinal), Expected: expected.IndexOf(Offset, StringComparison.Ordinal));
        if (marks.Expected < 0)
        {
            meter.Equal(name, actual, expected);
            return;
        }

        meter.Equal(name, actual[..marks.Actual], expected[..marks.Expected]);
        var (value, wanted) = (Number(actual[(marks.Actual + Offset.Length)..]), Number(expected[(marks.Expected + Offset.Length)..]));
        meter.Absolute($"{name}: nested_offset", value, wanted, MathF.BitIncrement(MathF.Abs(wanted)) - MathF.Abs(wanted));
    }

    private static float Number(string text) => (float)double.Parse(text.TrimEnd('}'), CultureInfo.InvariantCulture);

    private static string Text(long[] bytes) => System.Text.Encoding.UTF8.GetString([.. bytes.Select(value => (byte)value)]);

    private static FourBitSettings Settings(string folder)
    {
        using var weights = (IFourBitWeights)WeightSources.Open(folder);
        var state = weights.Weights.Select(weight => weights.FindFourBit(weight.Name)).First(state => state is not null)!;
        return new FourBitSettings(state.Kind, state.BlockSize, state.Nested is not null);
    }

    private static bool IsModel(string folder) => File.Exists(Path.Combine(folder, ModelFamilies.ConfigName)) && Directory.EnumerateFiles(folder, Weights).Any();

    private static bool IsQuantized(string folder) => JsonCase.HasAll(JsonCase.Root(Path.Combine(folder, ModelFamilies.ConfigName)), Field);

    private static string? Counterpart(string folder) =>
        ((string[])[$"{folder}-nf4", $"{folder}-fp4"]).FirstOrDefault(candidate => IsModel(candidate) && IsQuantized(candidate));
}
