using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using DistTune.Core.Merging;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>What an adapter's model card says beyond what its configuration holds. No dates: the same training gives the same card.</summary>
/// <param name="Data">What it was trained on, such as a file name and its number of rows; null leaves the line out.</param>
/// <param name="Facts">Further lines of the table, such as steps, loss and the adapter's SHA-256.</param>
public sealed record AdapterCard(string? Data = null, ImmutableArray<KeyValuePair<string, string>> Facts = default)
{
    /// <summary>The card as Markdown with the metadata header that model hubs read.</summary>
    internal string Render(ParameterLayout layout, AdapterSettings settings, string baseModel)
    {
        var invariant = CultureInfo.InvariantCulture;
        var text = new StringBuilder();
        text.Append("---\n");
        text.Append("base_model: ").Append(Quote(baseModel)).Append('\n');
        text.Append("library_name: peft\npipeline_tag: text-generation\ntags:\n- lora\n- disttune\n---\n\n");
        text.Append("# LoRA adapter\n\nTrained with DistTune.\n\n| | |\n|---|---|\n");
        Row(text, "Base model", baseModel);
        Row(text, "Rank", settings.Rank.ToString(invariant));
        Row(text, "Alpha", settings.Alpha.ToString(invariant));
        Row(text, "Target modules", string.Join(", ", settings.TargetModules));
        Row(text, "Trained parameters", layout.ParameterCount.ToString(invariant));
        if (Data is not null)
        {
            Row(text, "Data", Data);
        }

        foreach (var (name, value) in Facts.IsDefault ? [] : Facts)
        {
            Row(text, name, value);
        }

        text.Append("\n## Use\n\n```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n");
        text.Append("base = AutoModelForCausalLM.from_pretrained(").Append(Quote(baseModel)).Append(")\n");
        text.Append("model = PeftModel.from_pretrained(base, \".\")  # this folder\n```\n\n```\n");
        text.Append("disttune generate --model ").Append(Quote(baseModel)).Append(" --adapter .\n```\n");
        text.Append(AdapterConsumers.Of(settings).Render());
        return text.ToString();
    }

    private static void Row(StringBuilder text, string name, string value) =>
        text.Append("| ").Append(Cell(name)).Append(" | ").Append(Cell(value)).Append(" |\n");

    private static string Cell(string value) => value.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ");

    private static string Quote(string value) =>
        "\"" + value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).ReplaceLineEndings(" ") + "\"";
}
