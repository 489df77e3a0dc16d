using System.Globalization;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>Whether a result can be right at all, before anything of it is used.</summary>
internal static class ResultCheck
{
    /// <summary>Null, or what in the result contradicts the plan.</summary>
    public static string? FindFault(GroupSpec spec, GroupOutcome outcome, GradientUpload? upload)
    {
        if (spec.Kind != GroupKind.Generate && outcome.TrainedTokens != spec.TrainedTokens)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{outcome.TrainedTokens} trained tokens were reported, the plan has {spec.TrainedTokens}");
        }

        if ((upload is not null) != (spec.Kind == GroupKind.Train))
        {
            return upload is null ? "the gradient is missing" : "a gradient came for a group that has none";
        }

        if (spec.Kind == GroupKind.Generate)
        {
            var prompts = spec.MicroBatches.Sum(batch => batch.Segments.Length);
            var limit = spec.Generation?.MaxNewTokens ?? 0;
            if (outcome.Continuations.Length != prompts || outcome.Continuations.Any(tokens => tokens.Length > limit))
            {
                return string.Create(CultureInfo.InvariantCulture, $"{outcome.Continuations.Length} continuations came for {prompts} prompts of at most {limit} new tokens");
            }
        }

        return upload?.Complete();
    }

    /// <summary>Null, or the first value that is NaN or infinite.</summary>
    public static string? FindNonFinite(GroupOutcome outcome, GradientUpload? upload, ParameterLayout layout)
    {
        if (!double.IsFinite(outcome.LossSum))
        {
            return string.Create(CultureInfo.InvariantCulture, $"the loss sum is {outcome.LossSum}");
        }

        if (upload?.NonFinite is not var (index, value))
        {
            return null;
        }

        var entry = layout.Entries.Last(entry => entry.Offset <= index);
        return string.Create(CultureInfo.InvariantCulture, $"the gradient of {entry.Name} is {value} at element {index - entry.Offset}");
    }
}
