using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>The values that a run starts from.</summary>
internal static class InitialAdapter
{
    /// <summary>The base's own weights, a fresh adapter, or the adapter that the configuration names.</summary>
    /// <exception cref="DistTuneException">The adapter does not fit; the message lists what does not.</exception>
    public static float[] Values(RunConfig config, ParameterLayout layout, DecoderSpec spec, IWeightSource weights)
    {
        if (config.Adapter.Kind == AdapterKind.Full)
        {
            return AdapterInitialization.FromBase(layout, weights);
        }

        if (config.Adapter.Start == LoraStart.Loftq)
        {
            return FromWhatFourBitsLeaveOut(config, layout, spec, weights);
        }

        if (config.Adapter.Start == LoraStart.Pissa && (config.InitialAdapter is not null || config.Quantization is not null))
        {
            var other = config.InitialAdapter is not null ? "init_adapter" : "a base in four bits";
            throw new DistTuneException(FaultKind.Configuration, $"init_lora_weights: pissa starts from the base's own principal part and does not go with {other}. Use init_lora_weights: true.");
        }

        var values = AdapterInitialization.Create(layout, config.Adapter, config.Seed, weights: RestoredWeights.Of(weights, spec, config.Quantization));
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

    private static float[] FromWhatFourBitsLeaveOut(RunConfig config, ParameterLayout layout, DecoderSpec spec, IWeightSource weights)
    {
        if (config.InitialAdapter is not null || config.Quantization is null)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"init_lora_weights: loftq starts from what four bits leave out of the base and does not go with {(config.Quantization is null ? "a base in full: set adapter: qlora" : "init_adapter")}. Or use init_lora_weights: true.");
        }

        return LoftqStart.Values(layout, config.Adapter, config.Quantization, spec, config.Seed, weights);
    }
}
