using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;

namespace DistTune.Core.Merging;

/// <summary>The model card of an adapter that was combined or rewritten.</summary>
internal static class AdapterFolderCard
{
    /// <summary>The card as Markdown with the metadata header that model hubs read.</summary>
    public static string Render(AdapterFolder adapter, ImmutableArray<KeyValuePair<string, string>> facts)
    {
        var text = new StringBuilder();
        text.Append("---\nbase_model: ").Append(Quote(adapter.BaseModel)).Append("\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- lora\n- disttune\n---\n\n");
        text.Append("# LoRA adapter\n\nWritten by DistTune.\n\n| | |\n|---|---|\n");
        Row(text, "Base model", adapter.BaseModel);
        Row(text, "Rank", string.Join(", ", adapter.Modules.Select(module => module.Rank).Distinct().Order().Select(rank => rank.ToString(CultureInfo.InvariantCulture))));
        Row(text, "Adapted modules", adapter.Modules.Length.ToString(CultureInfo.InvariantCulture));
        foreach (var (name, value) in facts)
        {
            Row(text, name, value);
        }

        return text.Append(AdapterConsumers.Of(adapter).Render()).ToString();
    }

    private static void Row(StringBuilder text, string name, string value) =>
        text.Append("| ").Append(Cell(name)).Append(" | ").Append(Cell(value)).Append(" |\n");

    private static string Cell(string value) => value.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ");

    private static string Quote(string value) => JsonValue.Create(value).ToJsonString();
}
