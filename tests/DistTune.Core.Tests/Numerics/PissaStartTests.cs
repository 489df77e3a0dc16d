using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Numerics;

public sealed class PissaStartTests
{
    private static readonly AdapterSettings Settings = new(AdapterKind.Lora, 4, 8, ["q_proj", "down_proj"]) { Start = LoraStart.Pissa };

    [Fact]
    public void What_is_left_of_the_base_and_the_start_are_the_base_together()
    {
        var (weights, layout) = Open(Settings);
        using var source = weights;
        var initial = AdapterInitialization.Create(layout, Settings, seed: 1, weights: weights);

        using var rest = PissaStart.Rest(weights, layout, Settings, initial);

        const string Name = "model.layers.0.mlp.down_proj";
        var (a, b) = (Entry(layout, $"{Name}.lora_A.weight"), Entry(layout, $"{Name}.lora_B.weight"));
        var (left, whole) = (Read(rest, $"{Name}.weight"), Read(weights, $"{Name}.weight"));
        var columns = (int)a.Shape[1];
        for (var i = 0; i < whole.Length; i++)
        {
            var product = Enumerable.Range(0, 4).Sum(r => (double)initial[b.Offset + ((i / columns) * 4) + r] * initial[a.Offset + (r * columns) + (i % columns)]);
            Assert.Equal(whole[i], left[i] + (2 * product), 1e-6);
        }

        Assert.Equal(Read(weights, "model.layers.0.mlp.up_proj.weight"), Read(rest, "model.layers.0.mlp.up_proj.weight"));
    }

    [Fact]
    public void The_start_does_not_depend_on_the_seed_or_on_who_makes_it()
    {
        var (weights, layout) = Open(Settings);
        using var source = weights;

        Assert.Equal(AdapterInitialization.Create(layout, Settings, seed: 1, weights: weights), AdapterInitialization.Create(layout, Settings, seed: 2, weights: weights));
    }

    [Fact]
    public void A_rank_that_a_weight_cannot_have_is_refused_by_the_module_s_name()
    {
        var settings = Settings with { Rank = 65 };
        var (weights, layout) = Open(settings);
        using var source = weights;

        var fault = Assert.Throws<DistTuneException>(() => PissaStart.Values(layout, settings, weights));

        Assert.Contains("q_proj", fault.Message, StringComparison.Ordinal);
    }

    private static (IWeightSource Weights, ParameterLayout Layout) Open(AdapterSettings settings)
    {
        var folder = Golden.Path("models/llama-tiny");
        return (WeightSources.Open(folder), AdapterLayout.Create(ModelFamilies.Describe(folder), settings));
    }

    private static ParameterEntry Entry(ParameterLayout layout, string name) => layout.Entries.Single(entry => entry.Name == $"{AdapterLayout.Prefix}{name}");

    private static float[] Read(IWeightSource weights, string name)
    {
        var values = new float[weights.Find(name)!.Length];
        weights.ReadFloat32(name, values);
        return values;
    }
}
