using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Training;
using DistTune.Goldens.Text;
using DistTune.Modeling;

namespace DistTune.Goldens.Real;

/// <summary>The last position's logits of a real base after each text: the largest ones, and norm, mean and log-sum-exp of all.</summary>
internal sealed class RealLogitsGolden : IGoldenKind
{
    // The goldens' README.
    private const double Tolerance = 5e-4;

    private static readonly string[] Fields = ["text", "ids", "top_ids", "top_logits", "l2", "log_sum_exp"];

    // How far another program's logits are from these: a note on the noise, and no case.
    private static readonly string[] NoiseFields = ["text", "max_abs", "relative_l2", "gguf"];

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        TextCase.FilesWith(folder, Fields).Select(file => GoldenCase.OfFile(file, [.. TextCase.FilesWith(folder, NoiseFields)]));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var real = RealModels.Of(Path.GetDirectoryName(golden.Path)!);
        foreach (var row in TextCase.Records(golden.Path))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var ids = row.Ints("ids").ToImmutableArray();
            var subject = JsonSerializer.Serialize(row.Text("text"));
            meter.Sequence($"ids of {subject}", real.Tokenizer.Encode(row.Text("text"), addSpecialTokens: false), ids);
            var details = ForwardDetails.Compute(real.Model, [new Segment(ids, [], 0)]);
            Compare(row, subject, details.Logits.AsSpan((ids.Length - 1) * real.Model.Spec.VocabularySize), meter);
        }

        return Task.CompletedTask;
    }

    private static void Compare(JsonElement row, string subject, ReadOnlySpan<float> logits, ErrorMeter meter)
    {
        var topIds = row.Ints("top_ids");
        var expected = row.GetProperty("top_logits").EnumerateArray().Select(value => value.GetSingle()).ToArray();
        var actual = new float[topIds.Length];
        double squares = 0;
        double sum = 0;
        var largest = float.NegativeInfinity;
        for (var index = 0; index < topIds.Length; index++)
        {
            actual[index] = logits[topIds[index]];
        }

        foreach (var logit in logits)
        {
            squares += (double)logit * logit;
            sum += logit;
            largest = Math.Max(largest, logit);
        }

        meter.Absolute($"largest logits after {subject}", actual, expected, Tolerance);
        meter.Absolute($"mean logit after {subject}", sum / logits.Length, JsonCase.Number(row, "mean"), Tolerance);
        meter.Absolute($"log-sum-exp after {subject}", LogSumExp.Of(logits), JsonCase.Number(row, "log_sum_exp"), Tolerance);
        meter.Relative($"norm of the logits after {subject}", Math.Sqrt(squares), JsonCase.Number(row, "l2"), Tolerance);
        meter.Absolute($"largest of all logits after {subject}", largest, JsonCase.Number(row, "max"), Tolerance);
    }
}
