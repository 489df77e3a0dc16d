using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Modeling.Tests;

public sealed class LoadingTests
{
    private static string Folder => GoldenFolder.Path("models", "llama-tiny");

    [Fact]
    public void A_missing_weight_is_named()
    {
        using var weights = new EditedWeights(WeightSources.Open(Folder), list => list.RemoveAll(weight => weight.Name == "model.norm.weight"));

        var fault = Assert.Throws<DistTuneException>(() => BaseModel.Load(weights, ModelFamilies.Describe(Folder)));

        Assert.Equal(FaultKind.InvalidFile, fault.Kind);
        Assert.Contains("'model.norm.weight' [64], which its files lack", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_weight_without_a_place_is_named()
    {
        using var weights = new EditedWeights(WeightSources.Open(Folder), list => list.Add(new WeightInfo("model.layers.0.self_attn.q_norm.weight", WeightType.Float32, [16])));

        var fault = Assert.Throws<DistTuneException>(() => BaseModel.Load(weights, ModelFamilies.Describe(Folder)));

        Assert.Contains("'model.layers.0.self_attn.q_norm.weight' [16], which the base has no place for", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_weight_of_another_shape_is_named()
    {
        using var weights = WeightSources.Open(Folder);
        var spec = ModelFamilies.Describe(Folder);
        var wider = spec with { Weights = [.. spec.Weights.Select(weight => weight.Name == "model.norm.weight" ? weight with { Shape = [65] } : weight)] };

        var fault = Assert.Throws<DistTuneException>(() => BaseModel.Load(weights, wider));

        Assert.Contains("'model.norm.weight' has shape [64]; config.json says [65]", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Frozen_weights_are_stored_once()
    {
        using var weights = WeightSources.Open(Folder);
        var parameters = weights.Weights.Sum(weight => weight.Length);
        using var single = BaseModel.Load(weights, ModelFamilies.Describe(Folder));
        using var half = BaseModel.Load(weights, ModelFamilies.Describe(Folder), BasePrecision.BFloat16);
        var vectors = weights.Weights.Where(weight => weight.Shape.Length == 1).Sum(weight => weight.Length);

        Assert.Equal(4 * parameters, single.SizeBytes);
        Assert.Equal((2 * (parameters - vectors)) + (4 * vectors), half.SizeBytes);
    }

    /// <summary>A source whose list of weights was tampered with.</summary>
    private sealed class EditedWeights : IWeightSource
    {
        private readonly IWeightSource _source;

        public EditedWeights(IWeightSource source, Action<List<WeightInfo>> edit)
        {
            _source = source;
            var list = source.Weights.ToList();
            edit(list);
            Weights = [.. list];
        }

        public ImmutableArray<WeightInfo> Weights { get; }

        public WeightInfo? Find(string name) => Weights.FirstOrDefault(weight => weight.Name == name);

        public void ReadFloat32(string name, Span<float> destination) => _source.ReadFloat32(name, destination);

        public void ReadRaw(string name, Span<byte> destination) => _source.ReadRaw(name, destination);

        public void Dispose() => _source.Dispose();
    }
}
