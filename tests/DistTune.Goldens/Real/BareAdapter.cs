using DistTune.Core.Training;

namespace DistTune.Goldens.Real;

/// <summary>The smallest adapter, all zero: what a computer needs to be asked about the base alone.</summary>
internal static class BareAdapter
{
    /// <summary>Rank 1 on one kind of module.</summary>
    public static AdapterSettings Settings { get; } = new(AdapterKind.Lora, 1, 1, ["q_proj"]);

    /// <summary>A runner over the base and the adapter's only version.</summary>
    public static (GroupRunner Runner, AdapterVersion Version) Over(RealModel real)
    {
        var layout = AdapterLayout.Create(real.Model.Spec, Settings);
        return (new GroupRunner(real.Model, layout, Settings, gradientCheckpointing: false, RealModels.Lanes), AdapterHash.Version(new float[layout.Length]));
    }
}
