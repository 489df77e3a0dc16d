using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Text;

/// <summary>Conversations render and tokenise as in transformers.</summary>
public sealed class ChatTemplateGoldenTests
{
    public static TheoryData<string> Families => ["alpaca", "chatml", "llama2", "llama3", "mistral", "phi3", "qwen3"];

    public static TheoryData<string, string, string> Templates => new()
    {
        { "bpe512", "own:bpe512", "" },
        { "phi3", "", "phi3.jinja" },
        { "mistral", "", "mistral.jinja" },
        { "smollm2", "tokenizers/smollm2", "" },
        { "qwen3", "tokenizers/qwen3", "" },
        { "llama3_1", "tokenizers/llama3_1", "" },
        { "llama3_1_instruct", "tokenizers/llama3_1", "templates/llama3_1_instruct.jinja" },
        { "llama2_chat", "tokenizers/llama2", "templates/llama2_chat.jinja" },
    };

    [Theory]
    [MemberData(nameof(Families))]
    public void Plain_text_equals_reference(string family)
    {
        var tokenizer = Tokenizer.Load(Folder(family));
        foreach (var record in GoldenFiles.Records(Path.Combine(GoldenFiles.Root, "sft-data", "text", family + ".jsonl")))
        {
            var text = record.Text("text");
            Assert.Equal(record.GetProperty("ids").Ints(), tokenizer.Encode(text, addSpecialTokens: false));
            Assert.Equal(record.GetProperty("ids_special").Ints(), tokenizer.Encode(text, addSpecialTokens: true));
            Assert.Equal(record.Text("decoded"), tokenizer.Decode(record.GetProperty("ids").Ints(), skipSpecialTokens: false));
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Conversation_equals_reference(string family)
    {
        var folder = Folder(family);
        var tokenizer = Tokenizer.Load(folder);
        var template = ChatTemplate.Find(folder, tokenizer.SpecialTokens)!;
        var marked = ChatTemplate.Parse(File.ReadAllText(Path.Combine(folder, "chat_template_generation.jinja")), tokenizer.SpecialTokens);
        var count = 0;
        foreach (var record in GoldenFiles.Records(Path.Combine(GoldenFiles.Root, "sft-data", "chats", family + ".jsonl")))
        {
            var messages = record.GetProperty("messages").EnumerateArray().ToList();
            var (tools, extra) = (Tools(record), Values(record, "kwargs"));
            if (record.TryGetProperty("error", out var error))
            {
                var fault = Assert.Throws<TemplateException>(() => template.Render(messages, false, tools, extra));
                Assert.Equal((error.Text("type"), error.Text("message")), (fault.ErrorType, fault.Reason));
                continue;
            }

            var rendered = template.Render(messages, false, tools, extra);
            Assert.Equal(record.Text("text"), rendered.Text);
            Assert.Equal(record.Text("text_generation_prompt"), template.Render(messages, true, tools, extra).Text);
            Assert.Equal(record.GetProperty("ids").Ints(), tokenizer.Encode(rendered.Text, addSpecialTokens: false));
            var spans = record.GetProperty("assistant_spans").EnumerateArray().Select(span => (span[0].GetInt32(), span[1].GetInt32()));
            Assert.Equal(spans, marked.Render(messages, false, tools, extra).AssistantSpans.AsEnumerable());
            count++;
        }

        Assert.True(count >= 30, $"only {count} conversations were found");
    }

    [Theory]
    [MemberData(nameof(Templates))]
    public void Public_template_equals_reference(string name, string tokenizerPath, string templatePath)
    {
        var own = Path.Combine(GoldenFiles.Root, "tokenizers", "templates", name + ".jsonl");
        var cases = File.Exists(own) ? own : GoldenFiles.External($"tokenizers/templates/{name}.jsonl");
        Assert.SkipWhen(cases is null || (!File.Exists(own) && GoldenFiles.ThirdParty is null), $"The cases of {name} are not here (DISTTUNE_THIRDPARTY).");
        var folder = tokenizerPath.Length == 0 ? null
            : tokenizerPath.StartsWith("own:", StringComparison.Ordinal) ? Path.Combine(GoldenFiles.Root, "tokenizers", tokenizerPath[4..])
            : Path.Combine(GoldenFiles.ThirdParty!, tokenizerPath);
        var tokenizer = folder is null ? null : Tokenizer.Load(folder);
        var special = tokenizer?.SpecialTokens ?? SpecialTokenNames.None with { Bos = name == "mistral" ? "<s>" : null, Eos = name == "mistral" ? "</s>" : "<|endoftext|>" };
        var template = templatePath.Length == 0 ? ChatTemplate.Find(folder!, special)!
            : ChatTemplate.Parse(File.ReadAllText(templatePath.Contains('/', StringComparison.Ordinal) ? Path.Combine(GoldenFiles.ThirdParty!, templatePath) : Path.Combine(GoldenFiles.Root, "tokenizers", "templates", templatePath)), special);
        foreach (var record in GoldenFiles.Records(cases!))
        {
            var messages = record.GetProperty("messages").EnumerateArray().ToList();
            var values = Values(record, "values")!;
            var tools = values.TryGetValue("tools", out var given) ? given : (JsonElement?)null;
            var prompt = record.GetProperty("add_generation_prompt").GetBoolean();
            if (record.TryGetProperty("error", out _))
            {
                Assert.Throws<TemplateException>(() => template.Render(messages, prompt, tools, values));
                continue;
            }

            var text = template.Render(messages, prompt, tools, values).Text;
            Assert.Equal(record.Text("text"), text);
            if (tokenizer is not null && record.TryGetProperty("ids", out var ids))
            {
                Assert.Equal(ids.Ints(), tokenizer.Encode(text, addSpecialTokens: false));
            }
        }
    }

    private static string Folder(string family) => Path.Combine(GoldenFiles.Root, "sft-data", "tokenizer-" + family);

    private static JsonElement? Tools(JsonElement record) => record.TryGetProperty("tools", out var tools) && tools.ValueKind == JsonValueKind.Array ? tools : null;

    private static Dictionary<string, JsonElement>? Values(JsonElement record, string name) =>
        record.TryGetProperty(name, out var values) ? values.EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value) : null;
}
