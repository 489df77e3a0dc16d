using System.Globalization;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>A group's identity within its run. With the run and the adapter's SHA-256 it is the idempotency key of a result.</summary>
/// <param name="Step">Global step, from 0.</param>
/// <param name="Kind">What is computed.</param>
/// <param name="Index">Index among the step's groups of that kind.</param>
public readonly record struct GroupKey(int Step, GroupKind Kind, int Index)
{
    /// <summary>The key of a group.</summary>
    public static GroupKey Of(GroupSpec group)
    {
        ArgumentNullException.ThrowIfNull(group);
        return new GroupKey(group.Step, group.Kind, group.Index);
    }

    /// <summary>For messages: <c>train group 3 of step 12</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Kind switch
    {
        GroupKind.Train => "train",
        GroupKind.Evaluate => "evaluation",
        _ => "generation",
    }} group {Index} of step {Step}");
}
