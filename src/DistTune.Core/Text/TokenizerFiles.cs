using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using DistTune.Core.Formats;

namespace DistTune.Core.Text;

/// <summary>Finds and reads the files of a tokenizer folder.</summary>
internal static class TokenizerFiles
{
    internal const string TokenizerFile = "tokenizer.json";
    internal const string ConfigFile = "tokenizer_config.json";
    internal const string SpecialTokensFile = "special_tokens_map.json";

    private const long MaximumBytes = 128L << 20;

    private static readonly string[] Roles = ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"];

    internal static Tokenizer Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        var file = Directory.Exists(path) ? Path.Combine(path, TokenizerFile) : path;
        var folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        if (!File.Exists(file))
        {
            throw new DistTuneException(FaultKind.Configuration, $"There is no {TokenizerFile} at '{path}'. Give the folder of a Hugging Face model, or the file itself.");
        }

        var files = new List<(string Name, string Path, byte[] Content)> { (TokenizerFile, file, Read(file)) };
        foreach (var name in new[] { SpecialTokensFile, ConfigFile })
        {
            var beside = Path.Combine(folder, name);
            if (File.Exists(beside))
            {
                files.Add((name, beside, Read(beside)));
            }
        }

        return Load(files);
    }

    /// <summary>The tokenizer of files in memory: tokenizer.json first, then those that name special tokens; later ones win.</summary>
    internal static Tokenizer Load(IReadOnlyList<(string Name, string Path, byte[] Content)> files)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        TokenizerDefinition? definition = null;
        var special = SpecialTokenNames.None;
        foreach (var (name, path, content) in files)
        {
            Append(hash, name, content);
            using var document = Parse(path, content);
            if (definition is null)
            {
                definition = TokenizerJsonReader.Read(document.RootElement, path);
            }
            else
            {
                special = Overlay(special, document.RootElement);
            }
        }

        return new Tokenizer(definition!, special, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    internal static byte[] Read(string file)
    {
        RegularFile.Check(file);
        var length = new FileInfo(file).Length;
        if (length > MaximumBytes)
        {
            throw new DistTuneException(FaultKind.InvalidFile, $"'{file}' has {length} bytes; a tokenizer's files have at most {MaximumBytes}. Check what the file is.");
        }

        try
        {
            return File.ReadAllBytes(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw FileFault.Of(file, $"it cannot be read ({error.Message})", "Check the path and its permissions.", error);
        }
    }

    internal static JsonDocument Parse(string file, byte[] bytes)
    {
        try
        {
            var content = bytes.AsMemory(bytes.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? Encoding.UTF8.Preamble.Length : 0);
            JsonFile.CheckText(file, content.Span);
            return JsonDocument.Parse(content);
        }
        catch (JsonException error)
        {
            throw new DistTuneException(FaultKind.InvalidFile, $"'{file}' is not JSON: line {error.LineNumber + 1}, byte {error.BytePositionInLine}. Fetch the file again.", error);
        }
    }

    /// <summary>A token's text, written as a string or as an object with <c>content</c>; null for anything else.</summary>
    internal static string? TokenText(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.String => element.GetString(),
        JsonValueKind.Object when element.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.String => content.GetString(),
        _ => null,
    };

    private static SpecialTokenNames Overlay(SpecialTokenNames names, JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            return names;
        }

        foreach (var role in Roles)
        {
            if (!root.TryGetProperty(role, out var element) || TokenText(element) is not { } text)
            {
                continue;
            }

            names = role switch
            {
                "bos_token" => names with { Bos = text },
                "eos_token" => names with { Eos = text },
                "pad_token" => names with { Pad = text },
                "unk_token" => names with { Unknown = text },
                _ => names with { Other = names.Other.SetItem(role, text) },
            };
        }

        return names;
    }

    private static void Append(IncrementalHash hash, string name, byte[] content)
    {
        hash.AppendData(Encoding.UTF8.GetBytes(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{name} {content.Length}\n")));
        hash.AppendData(content);
    }
}
