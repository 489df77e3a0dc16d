using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Quantization;
using DistTune.Core.Training;
using DistTune.Modeling.Adapters;

namespace DistTune.Modeling.Tests;

/// <summary>What a run that starts by LoftQ leaves for the base in full, against the model as it was trained over four bits.</summary>
public sealed class LoftqTests
{
    private static readonly FourBitSettings FourBits = new();
    private static readonly string Folder = GoldenFolder.Path("models", "llama-tiny");
    private static readonly DecoderSpec Spec = ModelFamilies.Describe(Folder);

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public void What_is_saved_for_the_base_in_full_is_nearer_to_the_trained_model_than_from_a_plain_start(int iterations)
    {
        var settings = new AdapterSettings(AdapterKind.Lora, 16, 16, ["all-linear"]) { Start = LoraStart.Loftq, LoftqIterations = iterations };

        // Random weights, on which four bits cost 0.66 of the largest logit; 0.40 and 0.46 are left.
        Assert.InRange(Gap(settings), 0, 0.8 * Gap(settings with { Start = LoraStart.Zero }));
    }

    // Largest difference of logits, as a share of the largest logit.
    private static double Gap(AdapterSettings settings)
    {
        using var weights = WeightSources.Open(Folder);
        var layout = AdapterLayout.Create(Spec, settings);
        var initial = settings.Start == LoraStart.Loftq
            ? LoftqStart.Values(layout, settings, FourBits, Spec, 3, weights)
            : AdapterInitialization.Create(layout, settings, 3);
        var trained = initial.Select((value, index) => value + (0.02f * MathF.Sin(7 * index))).ToArray();
        using var fourBits = new QuantizingWeights(BaseChange.Of(layout, settings, FourBits)?.Apply(weights) ?? weights, Spec, FourBits, ownsSource: false);
        var expected = Logits(fourBits, new LoadedAdapter(layout, settings, AdapterHash.Version(trained)));

        float[] actual;
        if (StartDifference.Applies(settings))
        {
            var difference = StartDifference.Of(layout, settings);
            actual = Logits(weights, new LoadedAdapter(difference.Layout, difference.Settings, AdapterHash.Version(difference.Values(layout, trained, initial))));
        }
        else
        {
            actual = Logits(weights, new LoadedAdapter(layout, settings, AdapterHash.Version(trained)));
        }

        return expected.Zip(actual, (one, other) => Math.Abs(one - other)).Max() / expected.Max(Math.Abs);
    }

    private static float[] Logits(IWeightSource weights, LoadedAdapter adapter)
    {
        using var model = BaseModel.Load(weights, Spec, keepsFourBit: weights is IFourBitWeights);
        using var adapted = AdaptedModel.Create(model, [adapter]);
        return ForwardDetails.Compute(model, adapted.Modules, [new Segment([.. Enumerable.Range(0, 40).Select(token => 3 + (token * 37 % 500))], [], 0)]).Logits;
    }
}
