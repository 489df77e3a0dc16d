using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Modeling;

namespace DistTune.Goldens.Models;

/// <summary>Model folders that golden cases stand on.</summary>
internal static class GoldenModels
{
    private const int LevelsUp = 4;

    /// <summary>Reads a model's configuration; a family that the product does not know is unsupported.</summary>
    public static DecoderSpec Describe(string folder)
    {
        try
        {
            return Unbounded(ModelFamilies.Describe(folder));
        }
        catch (DistTuneException fault) when (fault.Kind == FaultKind.Configuration)
        {
            throw new GoldenUnsupportedException(fault.Message);
        }
    }

    /// <summary>The same base without its longest length, which the product holds users to and the reference does not.</summary>
    public static DecoderSpec Unbounded(DecoderSpec spec) => spec with { MaxPositions = int.MaxValue };

    /// <summary>The precision in which a model's matrices are stored.</summary>
    public static BasePrecision PrecisionOf(IWeightSource weights) =>
        weights.Weights.All(weight => weight.Type == WeightType.BFloat16) ? BasePrecision.BFloat16 : BasePrecision.Float32;

    /// <summary>Finds the model folder that a case names: beside its folder, in a folder of models beside one above it, or anywhere near.</summary>
    public static string Find(string caseFolder, string name)
    {
        var above = new DirectoryInfo(caseFolder);
        for (var level = 0; level < LevelsUp && above is not null; level++, above = above.Parent)
        {
            foreach (var candidate in (string[])[Path.Combine(above.FullName, "models", name), Path.Combine(above.FullName, name)])
            {
                if (File.Exists(Path.Combine(candidate, ModelFamilies.ConfigName)))
                {
                    return candidate;
                }
            }
        }

        throw new InvalidDataException($"No folder near '{caseFolder}' is the model '{name}' that the case names.");
    }

    /// <summary>Greedy continuation that computes the whole sequence anew for every token.</summary>
    public static ImmutableArray<int> ContinueWithoutCache(BaseModel model, ImmutableArray<int> prompt, int newTokens)
    {
        var tokens = prompt;
        for (var index = 0; index < newTokens; index++)
        {
            var details = ForwardDetails.Compute(model, [new Segment(tokens, [], 0)]);
            var last = details.Logits.AsSpan((tokens.Length - 1) * model.Spec.VocabularySize);
            var best = 0;
            for (var token = 1; token < last.Length; token++)
            {
                best = last[token] > last[best] ? token : best;
            }

            tokens = tokens.Add(best);
        }

        return tokens[prompt.Length..];
    }
}
