using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DistTune.Core.Data;

/// <summary>The layouts of rows that are known. A new one is a class and a line here.</summary>
public static class DatasetFormats
{
    private static readonly ImmutableArray<IDatasetFormat> Known = [new ChatFormat(), new ShareGptFormat(), new InstructionFormat(), new TextFormat()];

    /// <summary>Names of the known layouts.</summary>
    public static ImmutableArray<string> Names => [.. Known.Select(format => format.Name)];

    /// <summary>The layout of a name.</summary>
    /// <exception cref="DistTuneException">There is none of that name.</exception>
    public static IDatasetFormat Get(string name) => Known.FirstOrDefault(format => format.Name == name)
        ?? throw new DistTuneException(FaultKind.Configuration, $"datasets.type must be one of {string.Join(", ", Names)}, got '{name}'.");
}

/// <summary><c>{"messages": [{"role": …, "content": …}, …]}</c>; rows in ShareGPT's layout are understood too.</summary>
internal sealed class ChatFormat : IDatasetFormat
{
    private static readonly ShareGptFormat ShareGpt = new();

    public string Name => "chat_template";

    public Example Read(JsonLine row)
    {
        if (!row.Value.TryGetProperty("messages", out var messages))
        {
            return row.Value.TryGetProperty("conversations", out _) ? ShareGpt.Read(row) : throw RowFields.Missing(row, "messages", "a list of {\"role\", \"content\"}");
        }

        var list = RowFields.List(row, messages, "messages");
        for (var i = 0; i < list.Length; i++)
        {
            if (list[i].ValueKind != JsonValueKind.Object || !list[i].TryGetProperty("role", out var role) || role.ValueKind != JsonValueKind.String)
            {
                throw row.Fault(FormattableString.Invariant($"messages[{i}] has no text 'role'. Write each message as {{\"role\": \"user\", \"content\": \"…\"}}."));
            }

            if (!list[i].TryGetProperty("content", out _) && !list[i].TryGetProperty("tool_calls", out _))
            {
                throw row.Fault(FormattableString.Invariant($"messages[{i}] has no 'content'. Write each message as {{\"role\": \"user\", \"content\": \"…\"}}."));
            }
        }

        return new ChatExample(list, RowFields.Tools(row), RowFields.Variables(row));
    }
}

/// <summary><c>{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}</c>.</summary>
internal sealed class ShareGptFormat : IDatasetFormat
{
    public string Name => "sharegpt";

    public Example Read(JsonLine row)
    {
        if (!row.Value.TryGetProperty("conversations", out var conversations))
        {
            throw RowFields.Missing(row, "conversations", "a list of {\"from\", \"value\"}");
        }

        var list = RowFields.List(row, conversations, "conversations");
        return new ChatExample([.. list.Select((turn, index) => ToMessage(row, turn, index))], RowFields.Tools(row), RowFields.Variables(row));
    }

    private static JsonElement ToMessage(JsonLine row, JsonElement turn, int index)
    {
        if (turn.ValueKind != JsonValueKind.Object
            || !turn.TryGetProperty("from", out var from) || from.ValueKind != JsonValueKind.String
            || !turn.TryGetProperty("value", out var value) || value.ValueKind != JsonValueKind.String)
        {
            throw row.Fault(FormattableString.Invariant($"conversations[{index}] must have the texts 'from' and 'value'. Write each turn as {{\"from\": \"human\", \"value\": \"…\"}}."));
        }

        var role = from.GetString() switch
        {
            "human" or "user" => "user",
            "gpt" or "chatgpt" or "bot" or "assistant" or "model" => "assistant",
            "system" => "system",
            "tool" or "function" or "observation" => "tool",
            var other => throw row.Fault(FormattableString.Invariant($"conversations[{index}].from is '{other}'; expected human, gpt, system or tool.")),
        };
        return RowFields.Message(role, value.GetString()!);
    }
}

/// <summary><c>{"instruction": …, "input": …, "output": …}</c> (Alpaca), or <c>{"prompt": …, "completion": …}</c>.</summary>
internal sealed class InstructionFormat : IDatasetFormat
{
    private static readonly string[] Questions = ["instruction", "prompt", "question"];
    private static readonly string[] Answers = ["output", "completion", "response", "answer"];

    public string Name => "alpaca";

    public Example Read(JsonLine row)
    {
        var question = RowFields.Text(row, Questions) ?? throw RowFields.Missing(row, "instruction", "a text (or 'prompt', 'question')");
        var answer = RowFields.Text(row, Answers) ?? throw RowFields.Missing(row, "output", "a text (or 'completion', 'response', 'answer')");
        var input = RowFields.Text(row, ["input"]);
        var messages = ImmutableArray.CreateBuilder<JsonElement>();
        if (RowFields.Text(row, ["system"]) is { Length: > 0 } system)
        {
            messages.Add(RowFields.Message("system", system));
        }

        messages.Add(RowFields.Message("user", string.IsNullOrEmpty(input) ? question : $"{question}\n\n{input}"));
        messages.Add(RowFields.Message("assistant", answer));
        return new ChatExample(messages.ToImmutable(), null, ImmutableDictionary<string, JsonElement>.Empty);
    }
}

/// <summary><c>{"text": …}</c>: trained as a whole, closed by the end token.</summary>
internal sealed class TextFormat : IDatasetFormat
{
    public string Name => "completion";

    public Example Read(JsonLine row) => new TextExample(RowFields.Text(row, ["text"]) ?? throw RowFields.Missing(row, "text", "a text"));
}

/// <summary>Fields that several layouts read.</summary>
internal static class RowFields
{
    internal static JsonElement Message(string role, string content) => JsonSerializer.SerializeToElement(new JsonObject { ["role"] = role, ["content"] = content });

    internal static ImmutableArray<JsonElement> List(JsonLine row, JsonElement element, string name) => element.ValueKind == JsonValueKind.Array && element.GetArrayLength() > 0
        ? [.. element.EnumerateArray()]
        : throw row.Fault($"'{name}' must be a list of at least one turn, got {Describe(element)}.");

    /// <summary>The first of the named fields that the row has; null if it has none of them.</summary>
    internal static string? Text(JsonLine row, ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (!row.Value.TryGetProperty(name, out var element) || element.ValueKind == JsonValueKind.Null)
            {
                continue;
            }

            return element.ValueKind == JsonValueKind.String ? element.GetString() : throw row.Fault($"'{name}' must be a text, got {Describe(element)}.");
        }

        return null;
    }

    internal static JsonElement? Tools(JsonLine row) => row.Value.TryGetProperty("tools", out var tools) && tools.ValueKind == JsonValueKind.Array ? tools : null;

    internal static ImmutableDictionary<string, JsonElement> Variables(JsonLine row) =>
        row.Value.TryGetProperty("chat_template_kwargs", out var variables) && variables.ValueKind == JsonValueKind.Object
            ? variables.EnumerateObject().ToImmutableDictionary(entry => entry.Name, entry => entry.Value, StringComparer.Ordinal)
            : ImmutableDictionary<string, JsonElement>.Empty;

    internal static DistTuneException Missing(JsonLine row, string name, string what) =>
        row.Fault($"the row has no '{name}', {what}; it has {(row.Value.EnumerateObject().Any() ? string.Join(", ", row.Value.EnumerateObject().Take(8).Select(field => $"'{field.Name}'")) : "no fields")}. Add it, or set datasets.type to the layout that the file has.");

    private static string Describe(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Array => "an empty list",
        var kind => $"a JSON {kind.ToString().ToLowerInvariant()}",
    };
}
