namespace DistTune.Modeling.Loralib;

/// <summary>A module without LoRA, such as a norm or a head, known by its parameters alone.</summary>
public sealed class PlainModule : LoraModule
{
    /// <summary>Takes the parameters, in their order; the module owns them from here on.</summary>
    public PlainModule(params ReadOnlySpan<(string Name, Tensor Value)> parameters)
    {
        foreach (var (name, value) in parameters)
        {
            Register(name, value);
        }
    }
}
