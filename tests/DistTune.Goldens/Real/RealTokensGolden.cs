using System.Collections.Immutable;
using System.Globalization;
using DistTune.Core.Data;
using DistTune.Core.Training;
using DistTune.Goldens.Text;

namespace DistTune.Goldens.Real;

/// <summary>
/// Question and answer rows with a LoRA run on them in a folder below: each row's tokens and labels, through the base's own template and
/// tokenizer, are those that the run was fed. The last rows are held out; the others come round as often as the steps need.
/// </summary>
internal sealed class RealTokensGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        TextCase.FilesWith(folder, "prompt", "response").Where(file => Run(file) is not null).Select(file => GoldenCase.OfFile(file));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var run = Run(golden.Path)!;
        var real = RealModels.Of(Path.GetDirectoryName(golden.Path)!);
        var template = real.Template ?? throw new GoldenUnsupportedException("the base has no chat template");
        var encoder = new SampleEncoder(real.Tokenizer, template, new SampleSettings(real.Model.Spec.MaxPositions));
        var format = DatasetFormats.Get("alpaca");
        ImmutableArray<TokenizedSample> samples = [.. JsonLines.Read(golden.Path).Select(row => encoder.Encode(format.Read(row)))];
        var trained = samples.Length - run.HeldOut.Length;
        var next = 0;
        foreach (var (step, batch) in run.Batches.Index())
        {
            foreach (var segment in batch)
            {
                Compare(string.Create(CultureInfo.InvariantCulture, $"step {step}, row {next % trained}"), samples[next % trained], segment, meter);
                next++;
            }
        }

        foreach (var (index, segment) in run.HeldOut.Index())
        {
            Compare(string.Create(CultureInfo.InvariantCulture, $"held-out row {index}"), samples[trained + index], segment, meter);
        }

        return Task.CompletedTask;
    }

    private static void Compare(string subject, TokenizedSample actual, Segment expected, ErrorMeter meter)
    {
        meter.Sequence($"tokens of {subject}", actual.TokenIds, expected.TokenIds);
        meter.Sequence($"labels of {subject}", actual.Labels, expected.Labels);
    }

    private static RealTrainingCase? Run(string file) =>
        Directory.EnumerateDirectories(Path.GetDirectoryName(file)!).Order(StringComparer.Ordinal).Select(RealTrainingCase.Find).FirstOrDefault(run => run is not null);
}
