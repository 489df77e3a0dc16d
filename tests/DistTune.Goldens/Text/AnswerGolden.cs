using System.Text.Json;
using DistTune.Core.Metrics;

namespace DistTune.Goldens.Text;

/// <summary>Exact match and token F1 of answers; the answers and their references are in a file beside it, by id.</summary>
public sealed class AnswerGolden : IGoldenKind
{
    private const double Tolerance = 1e-9;

    private static readonly string[] ScoreFields = ["id", "raw_exact", "squad_en", "turkish"];
    private static readonly string[] PairFields = ["id", "prediction", "references"];

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder)
    {
        var pairs = TextCase.FilesWith(folder, PairFields).ToArray();
        return TextCase.FilesWith(folder, ScoreFields).Select(file => GoldenCase.OfFile(file, pairs));
    }

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var pairs = golden.Files.Skip(1).SelectMany(TextCase.Records).ToDictionary(record => record.GetProperty("id").ToString(), StringComparer.Ordinal);
        foreach (var record in TextCase.Records(golden.Path))
        {
            var id = record.GetProperty("id").ToString();
            if (!pairs.TryGetValue(id, out var pair))
            {
                throw new GoldenUnsupportedException($"no file beside it has the answer '{id}'");
            }

            Run($"{id}: turkish", record.GetProperty("turkish"), pair, AnswerNormalization.Turkish, meter);
            Run($"{id}: squad_en", record.GetProperty("squad_en"), pair, AnswerNormalization.English, meter);
        }

        return Task.CompletedTask;
    }

    private static void Run(string subject, JsonElement expected, JsonElement pair, AnswerNormalization normalization, ErrorMeter meter)
    {
        var prediction = pair.Text("prediction");
        var references = pair.GetProperty("references").EnumerateArray().Select(reference => reference.GetString()!).ToList();
        meter.Equal($"{subject} normalised", TokenF1.Normalise(prediction, normalization), expected.Text("normalised"));
        meter.Absolute($"{subject} f1", references.Max(reference => TokenF1.Score(prediction, reference, normalization)), JsonCase.Number(expected, "f1"), Tolerance);
        meter.Absolute($"{subject} exact", references.Max(reference => TokenF1.ExactMatch(prediction, reference, normalization) ? 1.0 : 0.0), JsonCase.Number(expected, "exact"), Tolerance);
    }
}
