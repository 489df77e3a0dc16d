using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Data;
using DistTune.Core.Text;

namespace DistTune.Goldens.Text;

/// <summary>
/// Conversations with text, ids, prompt, labels and assistant masks, and plain texts with ids; the tokenizer <c>tokenizer-NAME</c> of
/// <c>…/NAME.jsonl</c> lies in the folder above.
/// </summary>
public sealed class SftDataGolden : IGoldenKind
{
    private const int Ignored = -100;

    private static readonly string[] ChatFields = ["name", "messages"];
    private static readonly string[] TextFields = ["text", "ids", "ids_special", "decoded", "decoded_skip_special"];

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) => TextCase.FilesWith(folder, ChatFields).Concat(TextCase.FilesWith(folder, TextFields)).Select(file => GoldenCase.OfFile(file));

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var above = Path.GetDirectoryName(Path.GetDirectoryName(golden.Path))!;
        var folder = Path.Combine(above, "tokenizer-" + Path.GetFileNameWithoutExtension(golden.Path));
        if (!File.Exists(Path.Combine(folder, "tokenizer.json")))
        {
            throw new GoldenUnsupportedException($"its tokenizer '{Path.GetFileName(folder)}' is not in the folder above");
        }

        var tokenizer = Tokenizer.Load(folder);
        if (JsonCase.HasAll(TextCase.First(golden.Path), ChatFields))
        {
            RunChats(golden.Path, folder, tokenizer, meter, cancellationToken);
        }
        else
        {
            RunTexts(golden.Path, tokenizer, meter);
        }

        return Task.CompletedTask;
    }

    private static void RunTexts(string path, Tokenizer tokenizer, ErrorMeter meter)
    {
        foreach (var (index, record) in TextCase.Records(path).Index())
        {
            var text = record.Text("text");
            meter.Sequence($"record {index}: ids", tokenizer.Encode(text, addSpecialTokens: false), record.Ints("ids"));
            meter.Sequence($"record {index}: ids_special", tokenizer.Encode(text, addSpecialTokens: true), record.Ints("ids_special"));
            meter.Equal($"record {index}: decoded", tokenizer.Decode(record.Ints("ids"), skipSpecialTokens: false), record.Text("decoded"));
            meter.Equal($"record {index}: decoded_skip_special", tokenizer.Decode(record.Ints("ids"), skipSpecialTokens: true), record.Text("decoded_skip_special"));
        }
    }

    private static void RunChats(string path, string folder, Tokenizer tokenizer, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var plain = ChatTemplate.Find(folder, tokenizer.SpecialTokens) ?? throw new GoldenUnsupportedException("the tokenizer has no chat template");
        var markedFile = Path.Combine(folder, "chat_template_generation.jinja");
        var marked = File.Exists(markedFile) ? ChatTemplate.Parse(File.ReadAllText(markedFile), tokenizer.SpecialTokens) : null;
        var settings = new SampleSettings(int.MaxValue) { KeepTrailingWhitespace = true };
        var last = new SampleEncoder(tokenizer, plain, settings);
        var all = new SampleEncoder(tokenizer, marked, settings with { Turns = TrainedTurns.All });
        foreach (var record in TextCase.Records(path))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var chat = new ChatExample(
                [.. record.GetProperty("messages").EnumerateArray()],
                TextCase.ArrayOf(record, "tools"),
                TextCase.Fields(record, "kwargs").ToImmutableDictionary(StringComparer.Ordinal));
            try
            {
                RunChat(record, chat, plain, tokenizer, meter);
                if (JsonCase.HasAll(record, "completion_labels"))
                {
                    RunLabels(record, chat, last, marked is null ? null : all, meter);
                }
            }
            catch (TemplateException fault)
            {
                var error = TextCase.Fields(record, "error");
                meter.Equal($"{record.Text("name")}: {fault.Reason}", error.Count > 0 && error["message"].GetString() == fault.Reason, true);
            }
        }
    }

    private static void RunChat(JsonElement record, ChatExample chat, ChatTemplate template, Tokenizer tokenizer, ErrorMeter meter)
    {
        var name = record.Text("name");
        var text = template.Render(chat.Messages, addGenerationPrompt: false, chat.Tools, chat.Variables).Text;
        if (!JsonCase.HasAll(record, "text"))
        {
            meter.Equal($"{name}: is refused", false, true);
            return;
        }

        meter.Equal($"{name}: text", text, record.Text("text"));
        meter.Equal($"{name}: text_generation_prompt", template.Render(chat.Messages, addGenerationPrompt: true, chat.Tools, chat.Variables).Text, record.Text("text_generation_prompt"));
        meter.Sequence($"{name}: ids", tokenizer.Encode(text, addSpecialTokens: false), record.Ints("ids"));
    }

    private static void RunLabels(JsonElement record, ChatExample chat, SampleEncoder last, SampleEncoder? all, ErrorMeter meter)
    {
        var name = record.Text("name");
        var sample = last.Encode(chat);
        meter.Sequence($"{name}: prompt_ids", sample.PromptIds, record.Ints("prompt_ids"));
        meter.Sequence($"{name}: completion_labels", Labels(sample), record.Ints("completion_labels"));
        if (all is not null && TextCase.ArrayOf(record, "assistant_masks") is not null && record.Ints("assistant_masks").Contains(1))
        {
            meter.Sequence($"{name}: assistant_masks", Labels(all.Encode(chat)).Select(label => label == Ignored ? 0 : 1), record.Ints("assistant_masks"));
        }
    }

    private static int[] Labels(TokenizedSample sample)
    {
        var labels = Enumerable.Repeat(Ignored, sample.TokenIds.Length).ToArray();
        foreach (var span in sample.Labels)
        {
            sample.TokenIds.AsSpan()[span.Start..span.End].CopyTo(labels.AsSpan(span.Start));
        }

        return labels;
    }
}
