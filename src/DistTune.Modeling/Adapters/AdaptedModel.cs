using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Adapters;

/// <summary>The base with one version of the trained tensors, or with several adapters; read-only, so that all lanes share it.</summary>
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
    public static AdaptedModel Create(BaseModel model, ParameterLayout layout, AdapterSettings settings, AdapterVersion version) =>
        settings.Kind == AdapterKind.Full ? WithAllWeights(model, layout, version) : Create(model, [new LoadedAdapter(layout, settings, version)]);

    /// <summary>Puts any number of adapters on the base, all active at once: what they add is summed, each by its weight.</summary>
    /// <exception cref="DistTuneException">An adapter does not fit the base, or they cannot be active together.</exception>
    public static AdaptedModel Create(BaseModel model, IReadOnlyList<LoadedAdapter> adapters)
    {
        if (adapters.FirstOrDefault(adapter => adapter.Settings.Kind == AdapterKind.Full) is { } full)
        {
            throw new DistTuneException(FaultKind.Configuration, $"Version {full.Version.Sha256} holds all weights and stands for itself; it cannot be added to a base.");
        }

        var builder = new AdapterBuilder(adapters, model.Device);
        var modules = builder.Attach(model.Modules);
        return new AdaptedModel(string.Join('+', adapters.Select(adapter => adapter.Version.Sha256)), modules, builder.Owned);
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
        AdapterTensors.RequireLength(layout, version);
        var values = new FlatWeights(layout, version.Values);
        var (modules, owned) = new ModuleBuilder(model.Spec, ScalarType.Float32, model.Device, values).Build();
        return new AdaptedModel(version.Sha256, modules, owned);
    }
}
