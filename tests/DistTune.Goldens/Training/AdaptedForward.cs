using System.Collections.Immutable;
using DistTune.Core.Training;
using DistTune.Modeling;
using DistTune.Modeling.Adapters;

namespace DistTune.Goldens.Training;

/// <summary>The forward pass of a base with an adapter on it, at every position.</summary>
internal static class AdaptedForward
{
    /// <summary>Logits of the segments' rows.</summary>
    public static float[] Logits(BaseModel model, ParameterLayout layout, AdapterSettings settings, AdapterVersion version, ImmutableArray<Segment> segments)
    {
        using var adapted = AdaptedModel.Create(model, layout, settings, version);
        return ForwardDetails.Compute(model, adapted.Modules, segments).Logits;
    }
}
