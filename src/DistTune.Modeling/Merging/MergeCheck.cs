using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Modeling.Adapters;

namespace DistTune.Modeling.Merging;

/// <summary>How far a merged model's logits are from those of base and adapter.</summary>
/// <param name="Largest">Largest difference.</param>
/// <param name="LargestLogit">Largest logit in absolute value, at least 1.</param>
/// <param name="Positions">Positions compared, each over the whole vocabulary.</param>
/// <param name="Bound">Share of the largest logit that the difference may reach, by the type of the merged weights.</param>
public sealed record MergeDifference(double Largest, double LargestLogit, int Positions, double Bound)
{
    /// <summary>The difference as a share of the largest logit.</summary>
    public double Share => Largest / LargestLogit;

    /// <summary>Whether it is within the bound; not a number never is.</summary>
    public bool IsWithinBound => Share <= Bound;
}

/// <summary>Compares a merged model with the base and adapter it was made of, one model in memory at a time.</summary>
public static class MergeCheck
{
    private const int Rows = 4;
    private const int Length = 24;
    private const double SingleBound = 1e-4;
    private const double HalfBound = 1e-2;
    private const double BFloatBound = 5e-2;
    private static readonly ulong Stream = CounterRandom.Stream("merge check");

    /// <summary>Runs both over the same rows of arbitrary tokens.</summary>
    /// <param name="baseFolder">The base.</param>
    /// <param name="adapterFolder">The adapter.</param>
    /// <param name="mergedFolder">The model to check.</param>
    public static MergeDifference Compare(string baseFolder, string adapterFolder, string mergedFolder)
    {
        var expected = Adapted(baseFolder, adapterFolder);
        var (actual, bound) = Merged(mergedFolder);
        if (actual.Length != expected.Length)
        {
            throw new DistTuneException(FaultKind.Failed, $"The merged model gives {actual.Length} logits, base and adapter {expected.Length}. Check that they share a vocabulary.");
        }

        double largest = 0;
        double size = 1;
        for (var i = 0; i < actual.Length; i++)
        {
            var difference = Math.Abs((double)actual[i] - expected[i]);
            largest = double.IsNaN(difference) ? double.NaN : Math.Max(largest, difference);
            size = Math.Max(size, Math.Abs((double)expected[i]));
        }

        return new MergeDifference(largest, size, Rows * Length, bound);
    }

    private static float[] Adapted(string baseFolder, string adapterFolder)
    {
        var spec = ModelFamilies.Describe(baseFolder);
        var adapter = PeftAdapter.Load(adapterFolder);
        adapter.RequireUnchangedBase();
        var layout = AdapterLayout.Create(spec, adapter.Settings);
        using var weights = WeightSources.Open(baseFolder);
        using var model = BaseModel.Load(weights, spec, Precision(weights));
        using var adapted = AdaptedModel.Create(model, layout, adapter.Settings, AdapterHash.Version(adapter.ToVector(layout)));
        return ForwardDetails.Compute(model, adapted.Modules, Probe(spec)).Logits;
    }

    private static (float[] Logits, double Bound) Merged(string folder)
    {
        var spec = ModelFamilies.Describe(folder);
        using var weights = WeightSources.Open(folder);
        using var model = BaseModel.Load(weights, spec, Precision(weights));
        var bound = weights.Weights.Max(weight => weight.Type switch
        {
            WeightType.BFloat16 => BFloatBound,
            WeightType.Float16 => HalfBound,
            _ => SingleBound,
        });
        return (ForwardDetails.Compute(model, Probe(spec)).Logits, bound);
    }

    // Half the memory where it loses nothing; it computes in fp32 either way.
    private static BasePrecision Precision(IWeightSource weights) =>
        weights.Weights.All(weight => weight.Type == WeightType.BFloat16) ? BasePrecision.BFloat16 : BasePrecision.Float32;

    private static Segment[] Probe(DecoderSpec spec) => [.. Enumerable.Range(0, Rows).Select(row => new Segment(Tokens(spec, row), [], row))];

    private static ImmutableArray<int> Tokens(DecoderSpec spec, int row) =>
        [.. Enumerable.Range(0, Math.Min(Length, spec.MaxPositions)).Select(at => (int)(CounterRandom.Uniform(0, Stream, (ulong)((row * Length) + at)) * spec.VocabularySize))];
}
