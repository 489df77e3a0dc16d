using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>The values that a run starts from.</summary>
internal static class InitialAdapter
{
    /// <summary>The base's own weights, a fresh adapter, or the adapter that the configuration names.</summary>
    /// <exception cref="DistTuneException">The adapter does not fit; the message lists what does not.</exception>
    public static float[] Values(RunConfig config, ParameterLayout layout, IWeightSource weights)
    {
        if (config.Adapter.Kind == AdapterKind.Full)
        {
            return AdapterInitialization.FromBase(layout, weights);
        }

        if (config.Adapter.Start == LoraStart.Pissa && (config.InitialAdapter is not null || config.Quantization is not null))
        {
            var other = config.InitialAdapter is not null ? "init_adapter" : "a base in four bits";
            throw new DistTuneException(FaultKind.Configuration, $"init_lora_weights: pissa starts from the base's own principal part and does not go with {other}. Use init_lora_weights: true.");
        }

        var values = AdapterInitialization.Create(layout, config.Adapter, config.Seed, weights: weights);
        if (config.InitialAdapter is not { } folder)
        {
            return values;
        }

        var adapter = PeftAdapter.Load(folder);
        adapter.RequireUnchangedBase();
        adapter.RequireScales(layout, config.Adapter);
        adapter.Overlay(layout, values, config.InitialAdapterIsStrict);
        return values;
    }
}
