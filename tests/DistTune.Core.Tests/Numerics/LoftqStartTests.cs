using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Numerics;

public sealed class LoftqStartTests
{
    private const string Module = "model.layers.0.mlp.down_proj";

    private static readonly string Folder = Golden.Path("models/llama-tiny");
    private static readonly DecoderSpec Spec = ModelFamilies.Describe(Folder);
    private static readonly FourBitSettings FourBits = new();
    private static readonly AdapterSettings Settings = new(AdapterKind.Lora, 4, 10, ["q_proj", "down_proj", "lm_head"]) { Start = LoraStart.Loftq };

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Four_bits_and_the_start_are_nearer_to_the_base_than_four_bits_alone(int iterations)
    {
        using var weights = WeightSources.Open(Folder);
        var settings = Settings with { LoftqIterations = iterations };
        var (layout, values) = Start(settings, weights);
        var whole = Read(weights, Module);
        var alone = Distance(whole, Restored(weights, change: null));

        var restored = Restored(weights, BaseChange.Of(layout, settings, FourBits));
        LoftqFactors.Subtract(Factors(layout, values), Rows(layout), Columns(layout), 4, -settings.ScaleOf(Module), restored);

        // Four of 64 ranks, of what is nearly noise.
        Assert.InRange(Distance(whole, restored), 0, 0.95 * alone);
    }

    [Fact]
    public void More_iterations_come_nearer()
    {
        using var weights = WeightSources.Open(Folder);
        var distances = new[] { 1, 2, 5 }.Select(iterations =>
        {
            var settings = Settings with { LoftqIterations = iterations };
            var (layout, values) = Start(settings, weights);
            var restored = Restored(weights, BaseChange.Of(layout, settings, FourBits));
            LoftqFactors.Subtract(Factors(layout, values), Rows(layout), Columns(layout), 4, -settings.ScaleOf(Module), restored);
            return Distance(Read(weights, Module), restored);
        }).ToArray();

        Assert.Equal(distances.OrderDescending(), distances);
    }

    [Fact]
    public void What_a_worker_makes_four_bits_of_is_what_the_last_iteration_did()
    {
        using var weights = WeightSources.Open(Folder);
        var settings = Settings with { LoftqIterations = 3 };
        var (layout, _) = Start(settings, weights);
        var factors = LoftqFactors.Of(Read(weights, Module), Rows(layout), Columns(layout), 4, 3, FourBits, scale: settings.ScaleOf(Module));

        Assert.Equal(factors.Quantized, Restored(weights, BaseChange.Of(layout, settings, FourBits)));
    }

    [Fact]
    public void The_head_is_not_in_four_bits_and_starts_as_ever()
    {
        using var weights = WeightSources.Open(Folder);
        var settings = Settings with { LoftqIterations = 2 };
        var (layout, values) = Start(settings, weights);
        var b = layout.Entries.Single(entry => entry is { Module: "lm_head", Role: TensorRole.LoraB });

        Assert.All(values.AsSpan((int)b.Offset, (int)b.Length).ToArray(), value => Assert.Equal(0, value));
        using var changed = new QuantizingWeights(BaseChange.Of(layout, settings, FourBits)!.Apply(WeightSources.Open(Folder)), Spec, FourBits);
        Assert.Equal(Read(weights, "lm_head"), Read(changed, "lm_head"));
    }

    [Fact]
    public void A_base_that_is_in_four_bits_already_is_refused()
    {
        using var weights = WeightSources.Open(Golden.Path("quant/tiny-llama-nf4"));
        var spec = ModelFamilies.Describe(Golden.Path("quant/tiny-llama-nf4"));
        var layout = AdapterLayout.Create(spec, Settings);

        var fault = Assert.Throws<DistTuneException>(() => LoftqStart.Values(layout, Settings, FourBits, spec, 1, weights));

        Assert.Contains("in four bits already", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Each_start_has_a_cache_of_its_own()
    {
        var cache = Directory.CreateTempSubdirectory("disttune-loftq-");
        try
        {
            foreach (var settings in new[] { Settings, Settings with { LoftqIterations = 2 }, Settings with { LoftqIterations = 3 }, Settings with { LoftqIterations = 3, Alpha = 4 } })
            {
                var change = BaseChange.Of(AdapterLayout.Create(Spec, settings), settings, FourBits);
                QuantizedBase.Open(Folder, new string('a', 64), Spec, FourBits, cache.FullName, change).Dispose();
            }

            Assert.Equal(4, cache.GetDirectories().Length);
        }
        finally
        {
            cache.Delete(recursive: true);
        }
    }

    private static (ParameterLayout Layout, float[] Values) Start(AdapterSettings settings, IWeightSource weights)
    {
        var layout = AdapterLayout.Create(Spec, settings);
        return (layout, LoftqStart.Values(layout, settings, FourBits, Spec, 1, weights));
    }

    // What the four bits of a worker stand for.
    private static float[] Restored(IWeightSource weights, BaseChange? change) => Read(RestoredWeights.Of(change?.Apply(weights) ?? weights, Spec, FourBits), Module);

    private static PrincipalFactors Factors(ParameterLayout layout, float[] values) => new(Slice(layout, values, TensorRole.LoraA), Slice(layout, values, TensorRole.LoraB));

    private static float[] Slice(ParameterLayout layout, float[] values, TensorRole role) => values.AsSpan((int)Entry(layout, role).Offset, (int)Entry(layout, role).Length).ToArray();

    private static int Rows(ParameterLayout layout) => (int)Entry(layout, TensorRole.LoraB).Shape[0];

    private static int Columns(ParameterLayout layout) => (int)Entry(layout, TensorRole.LoraA).Shape[1];

    private static ParameterEntry Entry(ParameterLayout layout, TensorRole role) => layout.Entries.Single(entry => entry.Module == Module && entry.Role == role);

    private static double Distance(float[] one, float[] other) => Math.Sqrt(one.Zip(other, (a, b) => ((double)a - b) * ((double)a - b)).Sum());

    private static float[] Read(IWeightSource weights, string module)
    {
        var values = new float[weights.Find($"{module}.weight")!.Length];
        weights.ReadFloat32($"{module}.weight", values);
        return values;
    }
}
