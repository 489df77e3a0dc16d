using System.Security.Cryptography;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;

namespace DistTune.Core.Quantization;

/// <summary>
/// Opens a base in four bits: as it lies on disk if it is quantised already, otherwise from a cache that is made once for each base and
/// setting. The cache is a Hugging Face folder of its own; its bytes are hashed when it is made and again whenever it is opened.
/// </summary>
public static class QuantizedBase
{
    /// <summary>Names the folder that caches lie in.</summary>
    public const string FolderVariable = "DISTTUNE_CACHE";

    private const string ManifestName = "disttune.json";
    private const int KeyLength = 16;

    /// <summary>The folder of caches: <c>DISTTUNE_CACHE</c>, or the user's own cache folder.</summary>
    public static string Folder => Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } named
        ? Path.GetFullPath(named)
        : Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } shared
            ? Path.Combine(shared, "disttune")
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "disttune");

    /// <summary>Opens the base's weights in four bits.</summary>
    /// <param name="path">The base: a folder or a GGUF file.</param>
    /// <param name="sha256">Its hash, as <see cref="ModelHash"/> makes it.</param>
    /// <param name="spec">What it is.</param>
    /// <param name="settings">How it is to be held.</param>
    /// <param name="cacheFolder">Where caches lie; null is <see cref="Folder"/>.</param>
    /// <param name="change">What is made of the base before it is quantised; null leaves it as it is.</param>
    /// <exception cref="DistTuneException">The base is quantised already in another way, or cannot be read.</exception>
    public static IFourBitWeights Open(string path, string sha256, DecoderSpec spec, FourBitSettings settings, string? cacheFolder = null, BaseChange? change = null)
    {
        ArgumentNullException.ThrowIfNull(sha256);
        ArgumentNullException.ThrowIfNull(settings);
        var source = WeightSources.Open(path);
        if (source is IFourBitWeights quantized)
        {
            Check(quantized, spec, settings, path);
            return change is null
                ? quantized
                : throw new DistTuneException(FaultKind.Configuration, $"The base at {path} is held in four bits already, and the run's start changes it before. Name the base in full precision.");
        }

        // A GGUF file has no config.json to go with a folder; it is quantised each time.
        if (!File.Exists(Path.Combine(path, ModelFamilies.ConfigName)))
        {
            return new QuantizingWeights(change?.Apply(source) ?? source, spec, settings);
        }

        var tag = change is null ? settings.Tag : $"{settings.Tag}-{change.Tag}";
        var folder = Path.Combine(cacheFolder ?? Folder, $"{sha256[..Math.Min(KeyLength, sha256.Length)]}-{tag}");
        if (IsWhole(folder, sha256, tag) || TryMake(folder, sha256, tag, staging => FourBitFolder.Write(staging, path, spec, settings, change)))
        {
            source.Dispose();
            return (IFourBitWeights)WeightSources.Open(folder);
        }

        return new QuantizingWeights(change?.Apply(source) ?? source, spec, settings);
    }

    /// <summary>What a run's settings come to with this base: a base in four bits says itself how, unless somebody said otherwise.</summary>
    /// <exception cref="DistTuneException">The base is in four bits and the run does not want it so.</exception>
    internal static FourBitSettings? Settle(IWeightSource weights, DecoderSpec spec, FourBitSettings? settings, bool areSet, string path)
    {
        if (weights is not IFourBitWeights quantized)
        {
            return settings;
        }

        if (settings is null)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The base at {path} is held in four bits. Set adapter: qlora, or name the base in full precision.");
        }

        var state = FourBitModules.Of(spec).Select(quantized.FindFourBit).FirstOrDefault(state => state is not null);
        var found = areSet || state is null ? settings : new FourBitSettings(state.Kind, state.BlockSize, state.Nested is not null);
        Check(quantized, spec, found, path);
        return found;
    }

    // Refuses settings that a base in four bits contradicts.
    private static void Check(IFourBitWeights weights, DecoderSpec spec, FourBitSettings settings, string path)
    {
        foreach (var name in FourBitModules.Of(spec))
        {
            if (weights.FindFourBit(name) is { } state
                && (state.Kind != settings.Kind || state.BlockSize != settings.BlockSize || state.Nested is not null != settings.DoubleQuantization))
            {
                var found = new FourBitSettings(state.Kind, state.BlockSize, state.Nested is not null);
                throw new DistTuneException(FaultKind.Configuration, $"The base at {path} is quantised already as {found.Tag} ('{name}'), the configuration says {settings.Tag}. Set bnb_4bit_quant_type, bnb_4bit_blocksize and bnb_4bit_use_double_quant as the base has them, or leave them out.");
            }
        }
    }

    private static bool IsWhole(string folder, string sha256, string tag)
    {
        var manifest = Path.Combine(folder, ManifestName);
        if (!File.Exists(manifest))
        {
            return false;
        }

        try
        {
            using var document = JsonFile.Read(manifest);
            var root = document.RootElement;
            return root.GetProperty("base_sha256").ValueEquals(sha256)
                && root.GetProperty("settings").ValueEquals(tag)
                && root.GetProperty("weights_sha256").ValueEquals(Hash(Path.Combine(folder, WeightSources.SingleFileName)));
        }
        catch (Exception torn) when (torn is DistTuneException or IOException or UnauthorizedAccessException or KeyNotFoundException or InvalidOperationException)
        {
            return false;
        }
    }

    // A cache is a convenience: on a full or read-only disk the run goes on without it.
    private static bool TryMake(string folder, string sha256, string tag, Action<string> write)
    {
        var staging = $"{folder}.{Environment.ProcessId}.tmp";
        try
        {
            Directory.CreateDirectory(staging);
            write(staging);
            AtomicFile.WriteText(Path.Combine(staging, ManifestName), JsonFile.Render(new JsonObject
            {
                ["base_sha256"] = sha256,
                ["settings"] = tag,
                ["weights_sha256"] = Hash(Path.Combine(staging, WeightSources.SingleFileName)),
            }));
            Publish(staging, folder);
            return IsWhole(folder, sha256, tag);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
        finally
        {
            Delete(staging);
        }
    }

    // Several workers of one machine may get here together: all make the same bytes, and one rename wins.
    private static void Publish(string staging, string folder)
    {
        try
        {
            Directory.Move(staging, folder);
        }
        catch (IOException) when (Directory.Exists(folder))
        {
            foreach (var file in Directory.GetFiles(staging).OrderBy(file => Path.GetFileName(file) == ManifestName).ThenBy(file => file, StringComparer.Ordinal))
            {
                File.Move(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
            }
        }

        AtomicFile.FlushFolder(Path.GetDirectoryName(folder)!);
    }

    private static void Delete(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // What is left of a failed attempt has a name that nothing reads.
            return;
        }
    }

    private static string Hash(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1 << 20, FileOptions.SequentialScan);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
