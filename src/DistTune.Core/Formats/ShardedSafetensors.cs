using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Formats;

/// <summary>A model in several safetensors files, joined by <c>model.safetensors.index.json</c>.</summary>
public sealed class ShardedSafetensors : IWeightSource
{
    /// <summary>The index's file name.</summary>
    public const string IndexName = "model.safetensors.index.json";

    private const long MaxIndexBytes = 100_000_000;
    private readonly string _indexPath;
    private readonly ImmutableArray<SafetensorsFile> _shards;
    private readonly FrozenDictionary<string, SafetensorsFile> _shardOf;

    private ShardedSafetensors(string indexPath, ImmutableArray<SafetensorsFile> shards, FrozenDictionary<string, SafetensorsFile> shardOf)
    {
        _indexPath = indexPath;
        _shards = shards;
        _shardOf = shardOf;
        Weights = [.. shardOf.Select(pair => pair.Value.Find(pair.Key)!).OrderBy(weight => weight.Name, StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights { get; }

    /// <summary>Opens the index and every shard it names.</summary>
    /// <exception cref="DistTuneException">The index or a shard is not valid, or a shard lies outside the index's folder.</exception>
    public static ShardedSafetensors Open(string indexPath)
    {
        var names = ReadIndex(indexPath);
        var folder = Path.GetDirectoryName(Path.GetFullPath(indexPath))!;
        var shards = new Dictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        try
        {
            foreach (var fileName in names.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
            {
                shards.Add(fileName, SafetensorsFile.Open(ConfinedFile.Within(folder, fileName, indexPath)));
            }

            foreach (var (tensor, fileName) in names)
            {
                if (shards[fileName].Find(tensor) is null)
                {
                    throw FileFault.Of(
                        indexPath,
                        $"it places '{tensor}' in '{fileName}', which does not hold it",
                        "Fetch the index and its shards again, from one revision.");
                }
            }

            return new ShardedSafetensors(
                indexPath,
                [.. shards.Values],
                names.ToFrozenDictionary(pair => pair.Key, pair => shards[pair.Value], StringComparer.Ordinal));
        }
        catch
        {
            foreach (var shard in shards.Values)
            {
                shard.Dispose();
            }

            throw;
        }
    }

    /// <summary>The shards that an index names: tensor → file name within the folder.</summary>
    internal static Dictionary<string, string> ReadIndex(string indexPath)
    {
        const string Cure = "Fetch the index again.";
        using var document = JsonFile.Read(indexPath, MaxIndexBytes);
        if (document.RootElement.ValueKind != JsonValueKind.Object
            || !document.RootElement.TryGetProperty("weight_map", out var map) || map.ValueKind != JsonValueKind.Object)
        {
            throw FileFault.Of(indexPath, "it has no object 'weight_map'", Cure);
        }

        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var property in map.EnumerateObject())
        {
            var fileName = property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString()! : null;
            if (string.IsNullOrEmpty(fileName) || fileName is "." or ".." || fileName.AsSpan().IndexOfAny("/\\:\0") >= 0)
            {
                throw FileFault.Of(
                    indexPath,
                    $"it places '{property.Name}' in {property.Value.GetRawText()}; a shard is a plain file name in the index's own folder",
                    Cure);
            }

            if (!fileName.EndsWith(".safetensors", StringComparison.Ordinal))
            {
                throw FileFault.Of(
                    indexPath,
                    $"it places '{property.Name}' in '{fileName}', which is not a safetensors file",
                    "Convert the model to safetensors.");
            }

            names.Add(property.Name, fileName);
        }

        return names;
    }

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _shardOf.TryGetValue(name, out var shard) ? shard.Find(name) : null;

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination) => Shard(name).ReadFloat32(name, destination);

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination) => Shard(name).ReadRaw(name, destination);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var shard in _shards)
        {
            shard.Dispose();
        }
    }

    private SafetensorsFile Shard(string name) => _shardOf.TryGetValue(name, out var shard)
        ? shard
        : throw FileFault.Of(
            _indexPath,
            $"there is no tensor '{name}'",
            $"It names {Weights.Length} tensors; check that the folder belongs to this model.");
}
