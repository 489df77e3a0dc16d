using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using DistTune.Core.Models;

namespace DistTune.Core.Formats;

/// <summary>The identity of a base model by content: the same files give the same hash wherever they lie.</summary>
public static class ModelHash
{
    /// <summary>
    /// SHA-256 (lower-case hexadecimal) over name, length and SHA-256 of config.json and of every file that holds weights, in order of name.
    /// </summary>
    /// <param name="path">A model folder or a .gguf file.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="DistTuneException">There is no model there.</exception>
    public static async Task<string> ComputeAsync(string path, CancellationToken cancellationToken)
    {
        var files = Files(path);
        var lines = new ConcurrentDictionary<string, string>(StringComparer.Ordinal);
        await Parallel.ForEachAsync(
            files,
            cancellationToken,
            async (file, token) => lines[file] = await LineAsync(file, token).ConfigureAwait(false)).ConfigureAwait(false);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(files.Select(file => lines[file])))));
    }

    private static string[] Files(string path)
    {
        var weights = WeightSources.Locate(path);
        var files = new List<string> { weights };
        var folder = Path.GetDirectoryName(weights)!;
        if (weights.EndsWith(".index.json", StringComparison.Ordinal))
        {
            files.AddRange(ShardedSafetensors.ReadIndex(weights).Values.Distinct(StringComparer.Ordinal).Select(name => ConfinedFile.Within(Path.GetFullPath(folder), name, weights)));
        }

        // A .gguf file that is named by itself describes itself; in a folder, config.json comes first.
        var config = Path.Combine(path, ModelFamilies.ConfigName);
        if (File.Exists(config))
        {
            files.Add(config);
        }

        return [.. files.OrderBy(Path.GetFileName, StringComparer.Ordinal)];
    }

    private static async ValueTask<string> LineAsync(string file, CancellationToken cancellationToken)
    {
        RegularFile.Check(file);
        try
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.SequentialScan);
            var hash = await SHA256.HashDataAsync(stream, cancellationToken).ConfigureAwait(false);
            return string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(file)} {stream.Length} {Convert.ToHexStringLower(hash)}\n");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw FileFault.Of(file, $"it cannot be read ({error.Message})", "Check the path and its permissions.", error);
        }
    }
}
