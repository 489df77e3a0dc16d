using System.Text;
using DistTune.Core.Configuration;
using DistTune.Core.Data;
using DistTune.Core.Tests.Text;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Data;

public sealed class DataSetTests : IDisposable
{
    private static readonly string Folder = Path.Combine(GoldenFiles.Root, "sft-data", "tokenizer-chatml");
    private static readonly Tokenizer Tokens = Tokenizer.Load(Folder);
    private static readonly ChatTemplate Template = ChatTemplate.Find(Folder, Tokens.SpecialTokens)!;

    private readonly string _file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public void Dispose() => File.Delete(_file);

    [Theory]
    [InlineData("chat_template", """{"messages": [{"role": "user", "content": "Su?"}, {"role": "assistant", "content": "Evet."}]}""")]
    [InlineData("chat_template", """{"conversations": [{"from": "human", "value": "Su?"}, {"from": "gpt", "value": "Evet."}]}""")]
    [InlineData("sharegpt", """{"conversations": [{"from": "user", "value": "Su?"}, {"from": "assistant", "value": "Evet."}]}""")]
    [InlineData("alpaca", """{"instruction": "Su?", "input": "", "output": "Evet."}""")]
    [InlineData("alpaca", """{"prompt": "Su?", "completion": "Evet."}""")]
    public void Every_layout_of_one_question_gives_the_same_sample(string type, string row)
    {
        var sample = Assert.Single(Load(type, row).Samples);

        Assert.Equal("<|im_start|>user\nSu?<|im_end|>\n<|im_start|>assistant\nEvet.<|im_end|>", Tokens.Decode(sample.TokenIds, skipSpecialTokens: false));
        Assert.Equal("Evet.<|im_end|>", Trained(sample));
        Assert.Equal("<|im_start|>user\nSu?<|im_end|>\n<|im_start|>assistant\n", Tokens.Decode(sample.PromptIds, skipSpecialTokens: false));
        Assert.Equal(("Su?", "Evet.", $"{_file}:1"), (sample.PromptText, sample.Reference, sample.Place));
    }

    [Fact]
    public void Alpaca_input_follows_the_instruction() =>
        Assert.Equal("Çevir\n\nsu", Assert.Single(Load("alpaca", """{"instruction": "Çevir", "input": "su", "output": "water"}""").Samples).PromptText);

    [Fact]
    public void Text_is_trained_whole_and_closed_by_the_end_token()
    {
        var sample = Assert.Single(Load("completion", """{"text": "Toprak"}""").Samples);

        Assert.Equal(Tokens.EosId, sample.TokenIds[^1]);
        Assert.Equal([new LabelSpan(0, sample.TokenIds.Length)], sample.Labels.AsEnumerable());
        Assert.Null(sample.Reference);
    }

    [Fact]
    public void Without_a_template_the_layout_of_alpaca_is_used()
    {
        var folder = Path.Combine(GoldenFiles.Root, "sft-data", "tokenizer-llama3");
        var tokenizer = Tokenizer.Load(folder);
        File.WriteAllText(_file, """{"instruction": "Su?", "output": "Evet."}""");

        var sample = Assert.Single(DataSet.Load([new DatasetConfig(_file, "alpaca")], tokenizer, null, 512, trainOnInputs: false).Samples);

        Assert.Equal(
            $"{tokenizer.SpecialTokens.Bos}### Instruction:\nSu?\n\n### Response:\nEvet.{tokenizer.SpecialTokens.Eos}",
            tokenizer.Decode(sample.TokenIds, skipSpecialTokens: false));
        Assert.Equal(sample.TokenIds.Take(sample.PromptIds.Length), sample.PromptIds.AsEnumerable());
    }

    [Fact]
    public void Train_on_inputs_trains_everything()
    {
        var sample = Assert.Single(Load("alpaca", """{"prompt": "Su?", "completion": "Evet."}""", new SampleSettings(64) { TrainOnInputs = true }).Samples);
        Assert.Equal([new LabelSpan(0, sample.TokenIds.Length)], sample.Labels.AsEnumerable());
    }

    [Fact]
    public void Long_samples_keep_their_start_and_rows_without_trained_tokens_are_dropped_and_counted()
    {
        var question = string.Concat(Enumerable.Repeat("uzun ", 50));
        var data = Load("alpaca", $$"""
            {"prompt": "Su?", "completion": "Evet, bu cevap pek uzundur ve kesilir çünkü sığmaz."}
            {"prompt": "{{question}}", "completion": "x"}
            """, new SampleSettings(30));

        var sample = Assert.Single(data.Samples);
        Assert.True(sample.Truncated);
        Assert.Equal(30, sample.TokenIds.Length);
        Assert.Equal((2, 1, 1, 1, 30L), (data.Counts.Rows, data.Counts.Samples, data.Counts.Truncated, data.Counts.Untrained, data.Counts.Tokens));
        Assert.Equal(sample.TrainedTokens, data.Counts.TrainedTokens);
    }

    [Fact]
    public void Nothing_trained_is_an_error()
    {
        var fault = Assert.Throws<DistTuneException>(() => Load("chat_template", """{"messages": [{"role": "user", "content": "Su?"}]}"""));
        Assert.Contains("None of the 1 rows", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("chat_template", "\n{\"message\": 1}", ":2: the row has no 'messages'")]
    [InlineData("chat_template", "{\"messages\": []}", "at least one turn")]
    [InlineData("chat_template", "{\"messages\": [{\"content\": \"x\"}]}", "messages[0] has no text 'role'")]
    [InlineData("alpaca", "{\"instruction\": \"a\", \"output\": 3}", "'output' must be a text, got a JSON number")]
    [InlineData("alpaca", "{\"instruction\": \"a\"}", "no 'output'")]
    [InlineData("completion", "{\"text\": \"a\"}\n{\"text\": ", ":2: the line is not JSON at byte")]
    [InlineData("completion", "[1]", "the row is a JSON array")]
    [InlineData("chat_template", "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\\ud800\"}, {\"role\": \"assistant\", \"content\": \"\\ud800\"}]}", "surrogate")]
    [InlineData("parquet", "{}", "datasets.type must be one of")]
    [InlineData("completion", "", "There is no row")]
    public void Bad_row_is_an_error_that_names_the_place(string type, string content, string expected)
    {
        var fault = Assert.Throws<DistTuneException>(() => Load(type, content));
        Assert.Contains(expected, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_an_error_that_names_line_and_byte()
    {
        File.WriteAllBytes(_file, [.. "{\"text\": \"a\"}\n{\"text\": \""u8, 0xFD, .. "\"}\n"u8]);
        var fault = Assert.Throws<DistTuneException>(() => DataSet.Load([new DatasetConfig(_file, "completion")], Tokens, Template, 64, false));
        Assert.Contains($"{_file}:2: byte 11", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Template_that_refuses_a_row_names_the_row()
    {
        var template = ChatTemplate.Parse("{{ raise_exception('Roles must alternate') }}");
        File.WriteAllText(_file, """{"prompt": "a", "completion": "b"}""");
        var fault = Assert.Throws<DistTuneException>(() => DataSet.Load([new DatasetConfig(_file, "alpaca")], Tokens, template, 64, false));
        Assert.Contains($"{_file}:1: The chat template fails at line 1: Roles must alternate", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Lines_end_with_line_feed_only()
    {
        File.WriteAllText(_file, "{\"text\": \"a\u2028b\u0085c\"}\r\n\r\n{\"text\": \"d\"}", new UTF8Encoding(true));
        var rows = JsonLines.Read(_file).ToList();
        Assert.Equal([1, 3], rows.Select(row => row.Line));
        Assert.Equal("a\u2028b\u0085c", rows[0].Value.GetProperty("text").GetString());
    }

    [Fact]
    public void Lines_longer_than_the_buffer_are_read_whole()
    {
        var text = new string('ş', 300_000);
        File.WriteAllText(_file, $"{{\"text\": \"{text}\"}}\n{{\"text\": \"b\"}}\n");
        Assert.Equal([text, "b"], JsonLines.Read(_file).Select(row => row.Value.GetProperty("text").GetString()!).ToList());
    }

    [Fact]
    public void Split_depends_on_the_seed_alone_and_keeps_the_order()
    {
        var data = Load("completion", string.Join('\n', Enumerable.Range(0, 40).Select(index => $$"""{"text": "satır {{index}}"}""")));

        var (training, heldOut) = data.Split(0.25, 7);
        var again = data.Split(10, 7);

        Assert.Equal((30, 10), (training.Samples.Length, heldOut.Samples.Length));
        Assert.Equal(heldOut.Hash, again.HeldOut.Hash);
        Assert.NotEqual(heldOut.Hash, data.Split(10, 8).HeldOut.Hash);
        Assert.Equal(heldOut.Samples.Select(Position).Order(), heldOut.Samples.Select(Position));
        Assert.Equal(40, training.Samples.Concat(heldOut.Samples).Select(Position).Distinct().Count());
        Assert.Throws<DistTuneException>(() => data.Split(40, 7));
        int Position(TokenizedSample sample) => data.Samples.IndexOf(data.Samples.First(other => other.Place == sample.Place));
    }

    [Fact]
    public void Hash_follows_tokens_and_labels()
    {
        const string Row = """{"prompt": "Su?", "completion": "Evet."}""";
        var hash = Load("alpaca", Row).Hash;
        Assert.Equal(hash, GoldenFiles.UnderTurkishCulture(() => Load("alpaca", Row).Hash));
        Assert.NotEqual(hash, Load("alpaca", Row, new SampleSettings(512) { TrainOnInputs = true }).Hash);
        Assert.NotEqual(hash, Load("alpaca", Row.Replace("Evet", "Hayır", StringComparison.Ordinal)).Hash);
    }

    private LoadedData Load(string type, string content, SampleSettings? settings = null)
    {
        File.WriteAllText(_file, content);
        return DataSet.Load([new DatasetConfig(_file, type)], Tokens, Template, settings ?? new SampleSettings(512));
    }

    private static string Trained(TokenizedSample sample) =>
        Tokens.Decode(sample.Labels.SelectMany(span => sample.TokenIds[span.Start..span.End]), skipSpecialTokens: false);
}
