using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Training;
using DistTune.Goldens.Text;
using DistTune.Modeling;

namespace DistTune.Goldens.Real;

/// <summary>A real base's negative log-likelihood of each token of a text, and their mean as the product evaluates it.</summary>
internal sealed class RealLossGolden : IGoldenKind
{
    // The goldens' README.
    private const double Tolerance = 1e-4;

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        TextCase.FilesWith(folder, "text", "ids", "mean_nll", "nll").Select(file => GoldenCase.OfFile(file));

    /// <inheritdoc/>
    public async Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var real = RealModels.Of(Path.GetDirectoryName(golden.Path)!);
        var (runner, version) = BareAdapter.Over(real);
        await using (runner.ConfigureAwait(false))
        {
            foreach (var row in TextCase.Records(golden.Path))
            {
                var ids = row.Ints("ids").ToImmutableArray();
                var subject = JsonSerializer.Serialize(row.Text("text"));
                meter.Sequence($"ids of {subject}", real.Tokenizer.Encode(row.Text("text"), addSpecialTokens: false), ids);
                var sum = await runner.EvaluateAsync([new Segment(ids, [new LabelSpan(0, ids.Length)], 0)], version, cancellationToken).ConfigureAwait(false);
                meter.Absolute($"mean NLL of {subject}", sum / (ids.Length - 1), JsonCase.Number(row, "mean_nll"), Tolerance);
                CompareTokens(real, row, ids, subject, meter);
            }
        }
    }

    private static void CompareTokens(RealModel real, JsonElement row, ImmutableArray<int> ids, string subject, ErrorMeter meter)
    {
        var vocabulary = real.Model.Spec.VocabularySize;
        var logits = ForwardDetails.Compute(real.Model, [new Segment(ids, [], 0)]).Logits;
        var expected = row.GetProperty("nll").EnumerateArray().Select(value => value.GetSingle()).ToArray();
        var actual = new float[ids.Length - 1];
        for (var position = 0; position < actual.Length; position++)
        {
            var here = logits.AsSpan(position * vocabulary, vocabulary);
            actual[position] = (float)(LogSumExp.Of(here) - here[ids[position + 1]]);
        }

        meter.Absolute($"NLL of each token of {subject}", actual, expected, Tolerance);
    }
}
