using System.Collections.Immutable;
using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>The values that a run starts from.</summary>
/// <param name="Values">The flat vector.</param>
/// <param name="Differences">What the adapter that the configuration names lacks or has too much, a line each.</param>
internal sealed record InitialAdapter(float[] Values, ImmutableArray<string> Differences)
{
    /// <summary>The base's own weights, a fresh adapter, or the adapter that the configuration names.</summary>
    /// <exception cref="DistTuneException">The adapter does not fit; the message lists what does not.</exception>
    public static InitialAdapter Create(RunConfig config, ParameterLayout layout, DecoderSpec spec, IWeightSource weights)
    {
        if (config.Adapter.Kind == AdapterKind.Full)
        {
            return new InitialAdapter(AdapterInitialization.FromBase(layout, weights), []);
        }

        if (config.Adapter.Start == LoraStart.Loftq)
        {
            return new InitialAdapter(FromWhatFourBitsLeaveOut(config, layout, spec, weights), []);
        }

        if (config.Adapter.Start == LoraStart.Pissa && (config.InitialAdapter is not null || config.Quantization is not null))
        {
            var other = config.InitialAdapter is not null ? "init_adapter" : "a base in four bits";
            throw new DistTuneException(FaultKind.Configuration, $"init_lora_weights: pissa starts from the base's own principal part and does not go with {other}. Use init_lora_weights: true.");
        }

        var values = AdapterInitialization.Create(layout, config.Adapter, config.Seed, weights: RestoredWeights.Of(weights, spec, config.Quantization));
        if (config.InitialAdapter is not { } folder)
        {
            return new InitialAdapter(values, []);
        }

        var adapter = PeftAdapter.Load(folder);
        adapter.RequireUnchangedBase();
        adapter.RequireScales(layout, config.Adapter);
        return new InitialAdapter(values, adapter.Overlay(layout, values, config.InitialAdapterIsStrict));
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
