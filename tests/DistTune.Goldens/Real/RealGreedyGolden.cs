using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Data;
using DistTune.Core.Training;
using DistTune.Goldens.Text;

namespace DistTune.Goldens.Real;

/// <summary>A real base's greedy answers: each chat through template and tokenizer, then token by token with the cache.</summary>
internal sealed class RealGreedyGolden : IGoldenKind
{
    private static readonly string[] Fields = ["messages", "prompt", "prompt_ids", "generated_ids", "text"];

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) => TextCase.FilesWith(folder, Fields).Select(file => GoldenCase.OfFile(file, Inputs(folder)));

    /// <inheritdoc/>
    public async Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var real = RealModels.Of(Path.GetDirectoryName(golden.Path)!);
        var template = real.Template ?? throw new GoldenUnsupportedException("the base has no chat template");
        var encoder = new SampleEncoder(real.Tokenizer, template, new SampleSettings(real.Model.Spec.MaxPositions));
        var rows = TextCase.Records(golden.Path).ToList();
        var longest = rows.Max(row => row.GetProperty("generated_ids").GetArrayLength());
        var (runner, version) = BareAdapter.Over(real);
        await using (runner.ConfigureAwait(false))
        {
            var answers = await Task.WhenAll(rows.Select(row =>
            {
                ImmutableArray<JsonElement> messages = [.. row.GetProperty("messages").EnumerateArray()];
                meter.Equal($"prompt of {Subject(row)}", template.Render(messages, addGenerationPrompt: true).Text, row.Text("prompt"));
                meter.Sequence($"prompt ids of {Subject(row)}", encoder.EncodePrompt(messages), row.Ints("prompt_ids"));
                return AnswerAsync(runner, version, row, longest, Stop(real), cancellationToken);
            })).ConfigureAwait(false);
            foreach (var (row, answer) in rows.Zip(answers))
            {
                meter.Sequence($"greedy tokens of {Subject(row)}", answer, row.Ints("generated_ids"));
                meter.Equal($"greedy text of {Subject(row)}", real.Tokenizer.Decode(answer, skipSpecialTokens: true), row.Text("text"));
            }
        }
    }

    private static ImmutableArray<int> Stop(RealModel real) => real.Tokenizer.EosId is { } end ? [end] : [];

    private static Task<ImmutableArray<int>> AnswerAsync(
        GroupRunner runner,
        AdapterVersion version,
        JsonElement row,
        int longest,
        ImmutableArray<int> stop,
        CancellationToken cancellationToken) =>
        runner.ContinueAsync([.. row.Ints("prompt_ids")], longest, version, cancellationToken, stop);

    private static string Subject(JsonElement row) =>
        JsonSerializer.Serialize(row.GetProperty("messages")[row.GetProperty("messages").GetArrayLength() - 1].GetProperty("content"));

    // The file that the cases were made from says nothing that they don't.
    private static string[] Inputs(string folder) =>
        [.. Directory.EnumerateFiles(folder, "*.json").Where(file => JsonCase.HasAll(JsonCase.Root(file), "prompts", "texts", "chats"))];
}
