using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Goldens.Text;

/// <summary>Conversations rendered by named templates; a JSON file beside them says which template and tokenizer each name uses.</summary>
public sealed class ChatTemplateGolden : IGoldenKind
{
    private static readonly string[] CaseFields = ["messages", "values", "add_generation_prompt"];

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder)
    {
        // Conversations without an outcome are what the cases were made from.
        var inputs = TextCase.FilesWith(folder, "id", "messages").Where(file => !JsonCase.HasAll(TextCase.First(file), CaseFields));
        var companions = inputs.Concat(Descriptions(folder)).ToArray();
        return TextCase.FilesWith(folder, CaseFields).Select(file => GoldenCase.OfFile(file, companions));
    }

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var folder = Path.GetDirectoryName(golden.Path)!;
        var name = Path.GetFileNameWithoutExtension(golden.Path);
        var description = Descriptions(folder).Select(JsonCase.Root).Where(root => JsonCase.HasAll(root, name)).Select(root => root.GetProperty(name)).FirstOrDefault();
        if (description.ValueKind != JsonValueKind.Object)
        {
            throw new GoldenUnsupportedException($"no JSON file beside it says which template '{name}' is");
        }

        var path = description.TryGetProperty("tokenizer", out var given) ? TextCase.Resolve(folder, given.GetString()!) : null;
        var tokenizer = path is null ? null : Tokenizer.Load(path);
        var special = Special(description, tokenizer);
        var template = description.TryGetProperty("template", out var file)
            ? ChatTemplate.Parse(File.ReadAllText(TextCase.Resolve(folder, file.GetString()!)), special)
            : ChatTemplate.Find(path!, special) ?? throw new GoldenUnsupportedException("the tokenizer has no chat template");
        foreach (var record in TextCase.Records(golden.Path))
        {
            cancellationToken.ThrowIfCancellationRequested();
            Run(record, template, tokenizer, meter);
        }

        return Task.CompletedTask;
    }

    private static void Run(JsonElement record, ChatTemplate template, Tokenizer? tokenizer, ErrorMeter meter)
    {
        var id = record.TryGetProperty("id", out var value) ? value.ToString() : "record";
        var values = TextCase.Fields(record, "values");
        var tools = values.TryGetValue("tools", out var list) ? list : (JsonElement?)null;
        try
        {
            var text = template.Render([.. record.GetProperty("messages").EnumerateArray()], record.GetProperty("add_generation_prompt").GetBoolean(), tools, values).Text;
            meter.Equal($"{id}: text", text, record.TryGetProperty("text", out var expected) ? expected.GetString() : "an error");
            if (tokenizer is not null && TextCase.ArrayOf(record, "ids") is not null)
            {
                meter.Sequence($"{id}: ids", tokenizer.Encode(text, addSpecialTokens: false), record.Ints("ids"));
            }
        }
        catch (TemplateException fault)
        {
            meter.Equal($"{id}: {fault.Reason}", record.TryGetProperty("error", out _), true);
        }
    }

    private static SpecialTokenNames Special(JsonElement description, Tokenizer? tokenizer)
    {
        var given = TextCase.Fields(description, "special");
        var special = tokenizer?.SpecialTokens ?? SpecialTokenNames.None;
        return special with
        {
            Bos = given.TryGetValue("bos_token", out var bos) ? bos.GetString() : special.Bos,
            Eos = given.TryGetValue("eos_token", out var eos) ? eos.GetString() : special.Eos,
            Pad = given.TryGetValue("pad_token", out var pad) ? pad.GetString() : special.Pad,
            Unknown = given.TryGetValue("unk_token", out var unknown) ? unknown.GetString() : special.Unknown,
        };
    }

    private static IEnumerable<string> Descriptions(string folder) => Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal).Where(file =>
        JsonCase.Root(file) is { ValueKind: JsonValueKind.Object } root && root.EnumerateObject().Any()
        && root.EnumerateObject().All(entry => JsonCase.HasAll(entry.Value, "tokenizer") || JsonCase.HasAll(entry.Value, "template")));
}
