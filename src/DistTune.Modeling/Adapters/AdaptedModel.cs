using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Adapters;

/// <summary>The base with one version of the trained tensors; read-only, so that all lanes share it.</summary>
internal sealed class AdaptedModel : IDisposable
{
    private readonly ImmutableArray<Tensor> _owned;

    private AdaptedModel(string sha256, DecoderModules modules, ImmutableArray<Tensor> owned)
    {
        Sha256 = sha256;
        Modules = modules;
        _owned = owned;
    }

    /// <summary>Identity of the trained values.</summary>
    public string Sha256 { get; }

    /// <summary>The modules.</summary>
    public DecoderModules Modules { get; }

    /// <summary>Puts a version of the trained tensors on the base.</summary>
    /// <exception cref="DistTuneException">The version does not fit the layout, or the layout does not fit the base.</exception>
    public static AdaptedModel Create(BaseModel model, ParameterLayout layout, AdapterSettings settings, AdapterVersion version)
    {
        if (version.Values.Length != layout.Length)
        {
            throw new DistTuneException(FaultKind.Failed, $"Adapter version {version.Sha256} has {version.Values.Length} values; the layout has {layout.Length}. Use the version of this run.");
        }

        return settings.Kind == AdapterKind.Full ? WithAllWeights(model, layout, version) : WithLora(model, layout, settings, version);
    }

    /// <summary>Frees the tensors of this version.</summary>
    public void Dispose()
    {
        foreach (var tensor in _owned)
        {
            tensor.Dispose();
        }
    }

    private static AdaptedModel WithAllWeights(BaseModel model, ParameterLayout layout, AdapterVersion version)
    {
        var values = new FlatWeights(layout, version.Values);
        var (modules, owned) = new ModuleBuilder(model.Spec, ScalarType.Float32, model.Device, values).Build();
        return new AdaptedModel(version.Sha256, modules, owned);
    }

    private static AdaptedModel WithLora(BaseModel model, ParameterLayout layout, AdapterSettings settings, AdapterVersion version)
    {
        var builder = new LoraBuilder(layout, settings, version.Values, model.Device);
        var modules = builder.Attach(model.Modules);
        return new AdaptedModel(version.Sha256, modules, builder.Owned);
    }
}
