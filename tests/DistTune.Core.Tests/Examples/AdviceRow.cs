using System.Text.Json;

namespace DistTune.Core.Tests.Examples;

/// <summary>One question and answer of the shipped agriculture set.</summary>
internal sealed record AdviceRow(string Id, string Subject, string Topic, string Question, string Answer)
{
    /// <summary>Folder of the shipped set.</summary>
    public static string Folder { get; } = Golden.Path("..", "..", "examples", "agriculture");

    /// <summary>Reads one of the set's files; anything but the promised shape throws.</summary>
    public static IReadOnlyList<AdviceRow> Read(string file) => [.. File.ReadLines(Path.Combine(Folder, file)).Select(Parse)];

    private static AdviceRow Parse(string line)
    {
        using var json = JsonDocument.Parse(line);
        var row = json.RootElement;
        var messages = row.GetProperty("messages");
        Assert.Equal(2, messages.GetArrayLength());
        return new AdviceRow(Text(row, "id"), Text(row, "subject"), Text(row, "topic"), Content(messages[0], "user"), Content(messages[1], "assistant"));
    }

    private static string Content(JsonElement message, string role)
    {
        Assert.Equal(role, Text(message, "role"));
        return Text(message, "content");
    }

    private static string Text(JsonElement row, string name)
    {
        var text = row.GetProperty(name).GetString();
        Assert.False(string.IsNullOrWhiteSpace(text), $"'{name}' is empty in {row}");
        return text!;
    }
}
