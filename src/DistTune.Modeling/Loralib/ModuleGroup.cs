namespace DistTune.Modeling.Loralib;

/// <summary>Modules under names; what is computed with them is the caller's affair.</summary>
public sealed class ModuleGroup : LoraModule
{
    /// <summary>Adds a module, which this one then owns.</summary>
    /// <returns>This group.</returns>
    public ModuleGroup Add(string name, LoraModule module)
    {
        ArgumentNullException.ThrowIfNull(module);
        Register(name, module);
        return this;
    }
}
