using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Configuration;
using DistTune.Core.Data;
using DistTune.Core.Tests.Text;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Data;

/// <summary>Tokens and labels equal those of TRL's trainer and of the reference runs.</summary>
public sealed class SampleGoldenTests
{
    public static TheoryData<string> Families => ["alpaca", "chatml", "llama2", "llama3", "mistral", "phi3", "qwen3"];

    [Theory]
    [MemberData(nameof(Families))]
    public void Prompt_and_completion_equal_reference(string family)
    {
        var (encoder, _) = Encoder(family, new SampleSettings(1 << 20) { KeepTrailingWhitespace = true }, "chat_template.jinja");
        var count = 0;
        foreach (var (record, chat) in Chats(family).Where(entry => entry.Record.TryGetProperty("completion_labels", out _)))
        {
            var sample = encoder.Encode(chat);
            var expected = record.GetProperty("completion_labels").Ints();

            Assert.Equal(record.GetProperty("ids").Ints(), sample.TokenIds.ToArray());
            Assert.Equal(record.GetProperty("prompt_ids").Ints(), sample.PromptIds.ToArray());
            Assert.Equal(expected, Labels(sample));
            count++;
        }

        Assert.True(count >= 25, $"only {count} conversations were found");
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Marked_assistant_turns_equal_reference(string family)
    {
        var settings = new SampleSettings(1 << 20) { KeepTrailingWhitespace = true, Turns = TrainedTurns.All };
        var (encoder, _) = Encoder(family, settings, "chat_template_generation.jinja");
        foreach (var (record, chat) in Chats(family).Where(entry => entry.Record.TryGetProperty("completion_labels", out _)))
        {
            var mask = record.GetProperty("assistant_masks").Ints();
            var ids = record.GetProperty("ids").Ints();

            Assert.Equal(ids.Select((id, index) => mask[index] == 1 ? id : -100), Labels(encoder.Encode(chat)));
        }
    }

    [Fact]
    public void White_space_after_the_last_end_of_turn_is_cut_off()
    {
        var (encoder, tokenizer) = Encoder("chatml", new SampleSettings(4096), "chat_template.jinja");
        var sample = encoder.Encode(Chats("chatml").First().Chat);

        Assert.Equal(tokenizer.EosId, sample.TokenIds[^1]);
        Assert.Equal(sample.TokenIds.Length, sample.Labels[^1].End);
    }

    [Fact]
    public void Smollm2_rows_equal_the_batches_of_the_reference_run()
    {
        Assert.SkipWhen(GoldenFiles.ThirdParty is null, "DISTTUNE_THIRDPARTY is not set: the real tokenizer is not here.");
        var (rows, batches) = (GoldenFiles.External("smollm2/rows.jsonl"), GoldenFiles.External("smollm2/lora/batches.json"));
        Assert.SkipWhen(rows is null || batches is null, "The rows and batches of the reference run are not here.");
        var folder = Path.Combine(GoldenFiles.ThirdParty!, "tokenizers", "smollm2");
        var tokenizer = Tokenizer.Load(folder);

        var data = DataSet.Load([new DatasetConfig(rows!, "alpaca")], tokenizer, ChatTemplate.Find(folder, tokenizer.SpecialTokens), 160, trainOnInputs: false);

        var train = JsonElement.Parse(File.ReadAllText(batches!)).GetProperty("train").EnumerateArray().ToList();
        for (var step = 0; step < train.Count; step++)
        {
            for (var i = 0; i < 4; i++)
            {
                var sample = data.Samples[((4 * step) + i) % 18];
                var length = train[step].GetProperty("attention_mask")[i].Ints().Sum();
                Assert.Equal(train[step].GetProperty("input_ids")[i].Ints().Take(length), sample.TokenIds.AsEnumerable());
                Assert.Equal(train[step].GetProperty("labels")[i].Ints().Take(length), Labels(sample));
            }
        }
    }

    private static IEnumerable<(JsonElement Record, ChatExample Chat)> Chats(string family) =>
        GoldenFiles.Records(Path.Combine(GoldenFiles.Root, "sft-data", "chats", family + ".jsonl")).Select(record => (record, new ChatExample(
            [.. record.GetProperty("messages").EnumerateArray()],
            record.TryGetProperty("tools", out var tools) && tools.ValueKind == JsonValueKind.Array ? tools : null,
            record.TryGetProperty("kwargs", out var values)
                ? values.EnumerateObject().ToImmutableDictionary(entry => entry.Name, entry => entry.Value)
                : ImmutableDictionary<string, JsonElement>.Empty)));

    private static (SampleEncoder Encoder, Tokenizer Tokenizer) Encoder(string family, SampleSettings settings, string template)
    {
        var folder = Path.Combine(GoldenFiles.Root, "sft-data", "tokenizer-" + family);
        var tokenizer = Tokenizer.Load(folder);
        return (new SampleEncoder(tokenizer, ChatTemplate.Parse(File.ReadAllText(Path.Combine(folder, template)), tokenizer.SpecialTokens), settings), tokenizer);
    }

    private static int[] Labels(TokenizedSample sample)
    {
        var labels = Enumerable.Repeat(-100, sample.TokenIds.Length).ToArray();
        foreach (var span in sample.Labels)
        {
            for (var i = span.Start; i < span.End; i++)
            {
                labels[i] = sample.TokenIds[i];
            }
        }

        return labels;
    }
}
