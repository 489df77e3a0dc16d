using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Core.Merging;

/// <summary>How a merged model is written.</summary>
public sealed record MergeOptions
{
    /// <summary>A shard of Hugging Face's usual size.</summary>
    public const long UsualShardBytes = 5_000_000_000;

    /// <summary>Type of the weights; null keeps each weight's own, and bfloat16 for those of a quantised base.</summary>
    public WeightType? Type { get; init; }

    /// <summary>Most bytes of weights in one file; a larger tensor has a file of its own.</summary>
    public long MaxShardBytes { get; init; } = UsualShardBytes;
}

/// <summary>What was merged.</summary>
/// <param name="Weights">Number of weights written.</param>
/// <param name="Changed">Number of those that the adapter changes.</param>
/// <param name="Files">Number of weight files.</param>
/// <param name="SizeBytes">Bytes of the weights.</param>
/// <param name="HeadUntied">Whether the head became a weight of its own.</param>
/// <param name="Dequantised">Whether the base was quantised and has been merged into what it stands for.</param>
public sealed record MergeReport(int Weights, int Changed, int Files, long SizeBytes, bool HeadUntied, bool Dequantised);

/// <summary>Writes a base with an adapter in it as a Hugging Face folder, one weight in memory at a time.</summary>
public static class ModelMerge
{
    /// <summary>Writes the folder beside its final place, lets <paramref name="verify"/> look at it there, and only then gives it its name.</summary>
    /// <param name="baseFolder">The base: a model folder with config.json.</param>
    /// <param name="adapter">The adapter.</param>
    /// <param name="output">The folder to write; must not hold files.</param>
    /// <param name="options">Type and size of shards.</param>
    /// <param name="verify">Throws if the model in the folder it is given is not right; null checks only that it reads back.</param>
    /// <param name="cancellationToken">Stops before the next weight; nothing is published then.</param>
    /// <exception cref="DistTuneException">Base and adapter do not go together, or the check failed.</exception>
    public static MergeReport Write(string baseFolder, AdapterFolder adapter, string output, MergeOptions options, Action<string>? verify, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(adapter);
        ArgumentNullException.ThrowIfNull(options);
        RefuseChangedBase(adapter);
        if (Directory.Exists(output) && Directory.EnumerateFileSystemEntries(output).Any())
        {
            throw new DistTuneException(FaultKind.Configuration, $"The folder '{output}' is not empty. Name a new folder for the merged model.");
        }

        var configPath = Path.Combine(baseFolder, ModelFamilies.ConfigName);
        if (!File.Exists(configPath))
        {
            throw new DistTuneException(FaultKind.Configuration, $"There is no {ModelFamilies.ConfigName} in '{baseFolder}'. Name a model folder; a GGUF file becomes one with 'disttune import gguf'.");
        }

        ModelFolder.Verify(baseFolder);
        using var source = WeightSources.Open(baseFolder);
        var config = ModelFolder.ReadConfig(configPath);
        using var merged = new MergedWeights(source, IsTied(config, source), adapter);
        var weights = merged.Weights.Select(weight => weight with { Type = TypeOf(weight.Type, options.Type) }).ToImmutableArray();
        var dequantised = config.Remove("quantization_config") | merged.Weights.Any(weight => weight.Type == WeightType.Quantized);
        if (merged.HeadUntied)
        {
            config["tie_word_embeddings"] = false;
        }

        if (options.Type is not null || dequantised)
        {
            ModelFolder.SetType(config, options.Type ?? Prevailing(weights));
        }

        var shards = Shards(weights, options.MaxShardBytes);
        AtomicFile.WriteFolder(
            output,
            staging =>
            {
                AtomicFile.WriteText(Path.Combine(staging, ModelFamilies.ConfigName), JsonFile.Render(config));
                ModelFolder.CopyCompanions(baseFolder, staging);
                WriteShards(staging, shards, merged, cancellationToken);
            },
            staging =>
            {
                ModelFolder.Verify(staging);
                verify?.Invoke(staging);
            });
        return new MergeReport(weights.Length, weights.Count(weight => merged.Changes(weight.Name)), shards.Length, weights.Sum(SizeOf), merged.HeadUntied, dequantised);
    }

    /// <summary>Whether a base's head is its embedding: its configuration says so, or its files have no head.</summary>
    internal static bool IsTied(JsonObject config, IWeightSource weights) =>
        weights.Find("lm_head.weight") is null || (config["tie_word_embeddings"] is JsonValue value && value.TryGetValue<bool>(out var tied) && tied);

    private static void RefuseChangedBase(AdapterFolder adapter)
    {
        if (adapter.ChangedBase is { } start)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"{adapter.Origin} started as '{start}', which changed the base that it belongs to; merged into the original it would be wrong. Write its difference first: disttune export peft --initial.");
        }
    }

    private static WeightType TypeOf(WeightType stored, WeightType? asked) => stored switch
    {
        WeightType.Float32 or WeightType.Float16 or WeightType.BFloat16 => asked ?? stored,
        WeightType.Quantized => asked ?? WeightType.BFloat16,
        _ => stored,
    };

    private static WeightType Prevailing(ImmutableArray<WeightInfo> weights) => weights
        .Where(weight => weight.Type is WeightType.Float32 or WeightType.Float16 or WeightType.BFloat16)
        .GroupBy(weight => weight.Type)
        .MaxBy(group => group.Sum(weight => weight.Length))!.Key;

    private static long SizeOf(WeightInfo weight) => checked(weight.Length * WeightConversion.SizeOf(weight.Type));

    private static ImmutableArray<ImmutableArray<WeightInfo>> Shards(ImmutableArray<WeightInfo> weights, long maxBytes)
    {
        var shards = ImmutableArray.CreateBuilder<ImmutableArray<WeightInfo>>();
        var shard = ImmutableArray.CreateBuilder<WeightInfo>();
        long size = 0;
        foreach (var weight in weights)
        {
            if (shard.Count > 0 && size + SizeOf(weight) > maxBytes)
            {
                shards.Add(shard.DrainToImmutable());
                size = 0;
            }

            shard.Add(weight);
            size += SizeOf(weight);
        }

        shards.Add(shard.DrainToImmutable());
        return shards.ToImmutable();
    }

    private static void WriteShards(string folder, ImmutableArray<ImmutableArray<WeightInfo>> shards, MergedWeights merged, CancellationToken cancellationToken)
    {
        var map = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (var index = 0; index < shards.Length; index++)
        {
            var name = shards.Length == 1
                ? WeightSources.SingleFileName
                : string.Create(CultureInfo.InvariantCulture, $"model-{index + 1:D5}-of-{shards.Length:D5}.safetensors");
            SafetensorsWriter.Write(Path.Combine(folder, name), shards[index], (weight, stream) =>
            {
                cancellationToken.ThrowIfCancellationRequested();
                WriteWeight(merged, weight, stream);
            });
            foreach (var weight in shards[index])
            {
                map.Add(weight.Name, name);
            }
        }

        if (shards.Length > 1)
        {
            var index = new JsonObject
            {
                ["metadata"] = new JsonObject { ["total_size"] = shards.Sum(shard => shard.Sum(SizeOf)) },
                ["weight_map"] = new JsonObject(map.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)JsonValue.Create(pair.Value)))),
            };
            AtomicFile.WriteText(Path.Combine(folder, ShardedSafetensors.IndexName), JsonFile.Render(index));
        }
    }

    private static void WriteWeight(MergedWeights merged, WeightInfo weight, Stream stream)
    {
        if (weight.Type is WeightType.Float32 or WeightType.Float16 or WeightType.BFloat16)
        {
            var values = new float[weight.Length];
            merged.ReadFloat32(weight.Name, values);
            SafetensorsWriter.WriteValues(stream, values, weight.Type);
            return;
        }

        var bytes = new byte[SizeOf(weight)];
        merged.ReadRaw(weight.Name, bytes);
        stream.Write(bytes);
    }
}
