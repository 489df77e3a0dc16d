using DistTune.Core.Training;
using V1 = DistTune.Protocol.V1;

namespace DistTune.Protocol;

/// <summary>Which adapter is trained, as a message and back. How it starts stays with the coordinator, but for a start that changes the base.</summary>
internal static class AdapterMapping
{
    public static V1.AdapterSettings ToMessage(AdapterSettings settings)
    {
        var message = new V1.AdapterSettings
        {
            Kind = settings.Kind switch
            {
                AdapterKind.Lora => V1.AdapterKind.Lora,
                AdapterKind.Full => V1.AdapterKind.Full,
                _ => V1.AdapterKind.Unspecified,
            },
            Rank = settings.Rank,
            Alpha = settings.Alpha,
            TargetModules = { settings.TargetModules },
            ExcludeModules = { settings.ExcludeModules },
            LayersToTransform = { settings.LayersToTransform },
            LayersPattern = { settings.LayersPattern },
            RankPattern = { settings.RankPattern.Select(pair => new V1.NamedNumber { Name = pair.Key, Value = pair.Value }) },
            AlphaPattern = { settings.AlphaPattern.Select(pair => new V1.NamedNumber { Name = pair.Key, Value = pair.Value }) },
            RankStabilized = settings.RankStabilized,
            Dora = settings.Dora,
            BiasOfB = settings.BiasOfB,
            Bias = settings.Bias switch
            {
                BiasTraining.All => V1.BiasTraining.All,
                BiasTraining.LoraOnly => V1.BiasTraining.LoraOnly,
                _ => V1.BiasTraining.None,
            },
            ModulesToSave = { settings.ModulesToSave },
            EnsureWeightTying = settings.EnsureWeightTying,
            Dropout = settings.Dropout,
            PrincipalStart = settings.Start == LoraStart.Pissa,
            LoftqIterations = settings.Start == LoraStart.Loftq ? settings.LoftqIterations : 0,
        };
        if (settings.TargetPattern is { } pattern)
        {
            message.TargetPattern = pattern;
        }

        if (settings.ExcludePattern is { } excluded)
        {
            message.ExcludePattern = excluded;
        }

        return message;
    }

    public static AdapterSettings ToSettings(V1.AdapterSettings message) => new(
        message.Kind switch
        {
            V1.AdapterKind.Lora => AdapterKind.Lora,
            V1.AdapterKind.Full => AdapterKind.Full,
            _ => throw TrainingMapping.Unknown("adapter kind", (int)message.Kind),
        },
        message.Rank,
        message.Alpha,
        [.. message.TargetModules])
    {
        TargetPattern = message.HasTargetPattern ? message.TargetPattern : null,
        ExcludeModules = [.. message.ExcludeModules],
        ExcludePattern = message.HasExcludePattern ? message.ExcludePattern : null,
        LayersToTransform = [.. message.LayersToTransform],
        LayersPattern = [.. message.LayersPattern],
        RankPattern = [.. message.RankPattern.Select(pair => KeyValuePair.Create(pair.Name, checked((int)pair.Value)))],
        AlphaPattern = [.. message.AlphaPattern.Select(pair => KeyValuePair.Create(pair.Name, pair.Value))],
        RankStabilized = message.RankStabilized,
        Dora = message.Dora,
        BiasOfB = message.BiasOfB,
        Bias = message.Bias switch
        {
            V1.BiasTraining.None => BiasTraining.None,
            V1.BiasTraining.All => BiasTraining.All,
            V1.BiasTraining.LoraOnly => BiasTraining.LoraOnly,
            _ => throw TrainingMapping.Unknown("training of biases", (int)message.Bias),
        },
        ModulesToSave = [.. message.ModulesToSave],
        EnsureWeightTying = message.EnsureWeightTying,
        Dropout = message.Dropout,
        Start = message.PrincipalStart ? LoraStart.Pissa : message.LoftqIterations > 0 ? LoraStart.Loftq : LoraStart.Zero,
        LoftqIterations = Math.Max(1, message.LoftqIterations),
    };
}
