using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Goldens.Text;

/// <summary>Texts with their ids, offsets and decodings; streams of ids with the text given out at each.</summary>
public sealed class TokenizerGolden : IGoldenKind
{
    private static readonly string[] TextFields = ["text", "ids", "ids_special", "decoded", "decoded_skip"];
    private static readonly string[] StreamFields = ["ids", "pieces", "whole", "skip_special_tokens"];
    private static readonly string[] Companions = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder)
    {
        var companions = Companions.Select(name => Path.Combine(folder, name)).ToArray();
        return TextCase.FilesWith(folder, TextFields).Concat(TextCase.FilesWith(folder, StreamFields)).Select(file => GoldenCase.OfFile(file, companions));
    }

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var tokenizer = TextCase.TokenizerOf(Path.GetDirectoryName(golden.Path)!);
        var isStream = JsonCase.HasAll(TextCase.First(golden.Path), StreamFields);
        foreach (var (index, record) in TextCase.Records(golden.Path).Index())
        {
            cancellationToken.ThrowIfCancellationRequested();
            var id = record.TryGetProperty("id", out var given) ? given.ToString() : FormattableString.Invariant($"record {index}");
            if (isStream)
            {
                RunStream(id, record, tokenizer, meter);
            }
            else
            {
                RunText(id, record, tokenizer, meter);
            }
        }

        return Task.CompletedTask;
    }

    private static void RunText(string id, JsonElement record, Tokenizer tokenizer, ErrorMeter meter)
    {
        var text = record.Text("text");
        var special = record.Ints("ids_special");
        meter.Sequence($"{id}: ids", tokenizer.Encode(text, addSpecialTokens: false), record.Ints("ids"));
        meter.Sequence($"{id}: ids_special", tokenizer.Encode(text, addSpecialTokens: true), special);
        meter.Equal($"{id}: decoded", tokenizer.Decode(special, skipSpecialTokens: false), record.Text("decoded"));
        meter.Equal($"{id}: decoded_skip", tokenizer.Decode(special, skipSpecialTokens: true), record.Text("decoded_skip"));
        if (TextCase.ArrayOf(record, "offsets") is { } offsets)
        {
            meter.Sequence(
                $"{id}: offsets",
                tokenizer.EncodeWithOffsets(text, addSpecialTokens: false).Offsets,
                offsets.EnumerateArray().Select(pair => (pair[0].GetInt32(), pair[1].GetInt32())));
        }
    }

    private static void RunStream(string id, JsonElement record, Tokenizer tokenizer, ErrorMeter meter)
    {
        var pieces = record.GetProperty("pieces").EnumerateArray().Select(piece => piece.GetString()).ToList();
        var decoder = tokenizer.CreateStreamDecoder(record.GetProperty("skip_special_tokens").GetBoolean());

        // Where the reference gave up, its pieces stop, and nothing further is held against it.
        meter.Sequence($"{id}: pieces", record.Ints("ids").Take(pieces.Count).Select(decoder.Append).ToList(), pieces);
        if (!record.TryGetProperty("error", out _) && record.TryGetProperty("pending", out var pending) && pending.ValueKind == JsonValueKind.String)
        {
            meter.Equal($"{id}: pending", decoder.Flush() ?? string.Empty, pending.GetString()!);
        }
    }
}
