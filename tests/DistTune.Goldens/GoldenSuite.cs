using System.Globalization;
using System.Runtime.CompilerServices;
using DistTune.Core;
using DistTune.Goldens.Formats;
using DistTune.Goldens.Layers;
using DistTune.Goldens.Merging;
using DistTune.Goldens.Models;
using DistTune.Goldens.Optimization;
using DistTune.Goldens.Quantization;
using DistTune.Goldens.Real;
using DistTune.Goldens.Support;
using DistTune.Goldens.Text;
using DistTune.Goldens.Training;

namespace DistTune.Goldens;

/// <summary>Finds and runs every golden case under a folder.</summary>
public static class GoldenSuite
{
    private static readonly string[] DataExtensions = [".json", ".jsonl", ".safetensors", ".gguf"];

    /// <summary>One line a kind.</summary>
    public static IReadOnlyList<IGoldenKind> Kinds { get; } =
    [
        new ModelGolden(),
        new TrainGolden(),
        new MultiAdapterGolden(),
        new MergeGolden(),
        new CombinationGolden(),
        new PissaGolden(),
        new LoftqGolden(),
        new RmsNormGolden(),
        new RotaryGolden(),
        new ActivationGolden(),
        new AttentionGolden(),
        new FeedForwardGolden(),
        new CrossEntropyGolden(),
        new LoralibLayerGolden(),
        new LoralibUtilitiesGolden(),
        new GgufTensorsGolden(),
        new GgufBlocksGolden(),
        new GgufModelGolden(),
        new GgufLogitsGolden(),
        new RealTensorsGolden(),
        new RealLogitsGolden(),
        new RealLossGolden(),
        new RealGreedyGolden(),
        new RealTokensGolden(),
        new RealTrainingGolden(),
        new TokenizerGolden(),
        new TokenizerFolderGolden(),
        new ChatTemplateGolden(),
        new SftDataGolden(),
        new JinjaGolden(),
        new AnswerGolden(),
        new AdamWGolden(),
        new ClippingGolden(),
        new ScheduleGolden(),
        new WarmupGolden(),
        new BlockwiseFourBitGolden(),
        new BlockwiseEightBitGolden(),
        new AdamW8BitGolden(),
        new FourBitLogitsGolden(),
        new FourBitFolderGolden(),
        new QloraGolden(),
    ];

    /// <summary>Runs every case, in ordinal order of paths, lazily. What no kind recognises is unsupported, never passed over.</summary>
    /// <param name="root">Folder to search.</param>
    /// <param name="cancellationToken">Ends the run between cases.</param>
    public static IAsyncEnumerable<GoldenOutcome> RunAsync(string root, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(root);
        if (!Directory.Exists(root))
        {
            throw new DistTuneException(FaultKind.Configuration, $"There is no folder '{root}'. Name a folder of golden cases.");
        }

        return RunFolderAsync(Path.GetFullPath(root), Path.GetFullPath(root), cancellationToken);
    }

    private static async IAsyncEnumerable<GoldenOutcome> RunFolderAsync(string root, string folder, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var found = Kinds.SelectMany(kind => Find(kind, folder).Select(golden => (Kind: kind, Case: golden))).ToList();
        foreach (var (kind, golden) in found)
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return await RunCaseAsync(root, kind, golden, cancellationToken).ConfigureAwait(false);
        }

        if (found.Exists(item => item.Case.Path == folder))
        {
            yield break;
        }

        foreach (var unknown in Unknown(root, folder, found.SelectMany(item => item.Case.Files)))
        {
            yield return unknown;
        }

        foreach (var below in Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal))
        {
            await foreach (var outcome in RunFolderAsync(root, below, cancellationToken).ConfigureAwait(false))
            {
                yield return outcome;
            }
        }
    }

    // A file may have a kind's property names and another shape: then it is not of that kind.
    private static List<GoldenCase> Find(IGoldenKind kind, string folder)
    {
        try
        {
            return [.. kind.Find(folder)];
        }
        catch (Exception mismatch) when (mismatch is InvalidOperationException or KeyNotFoundException or FormatException)
        {
            return [];
        }
    }

    private static async Task<GoldenOutcome> RunCaseAsync(string root, IGoldenKind kind, GoldenCase golden, CancellationToken cancellationToken)
    {
        var name = Path.GetRelativePath(root, golden.Path) + (golden.Part.Length == 0 ? "" : $"#{golden.Part}");
        var outcome = await MeasureAsync(name, kind, golden, cancellationToken).ConfigureAwait(false);
        SupportLog.Add(golden, outcome);
        return outcome;
    }

    private static async Task<GoldenOutcome> MeasureAsync(string name, IGoldenKind kind, GoldenCase golden, CancellationToken cancellationToken)
    {
        var meter = new ErrorMeter();
        try
        {
            await kind.RunAsync(golden, meter, cancellationToken).ConfigureAwait(false);
            return new GoldenOutcome(name, meter.Passed ? GoldenVerdict.Passed : GoldenVerdict.Failed, meter.Subject, meter.LargestError, meter.Tolerance);
        }
        catch (GoldenUnsupportedException unsupported)
        {
            return new GoldenOutcome(name, GoldenVerdict.Unsupported, unsupported.Message, null, null);
        }
        catch (Exception fault) when (fault is not OperationCanceledException)
        {
            return new GoldenOutcome(name, GoldenVerdict.Failed, $"{fault.GetType().Name}: {fault.Message}", null, null);
        }
    }

    // A file of a folder in which other files are cases is a case of its own; a folder without any is one as a whole.
    private static IEnumerable<GoldenOutcome> Unknown(string root, string folder, IEnumerable<string> known)
    {
        const string Why = "no kind of golden case recognises its files";
        var claimed = known.ToHashSet(StringComparer.Ordinal);
        var unclaimed = Directory.EnumerateFiles(folder)
            .Where(file => DataExtensions.Contains(Path.GetExtension(file), StringComparer.OrdinalIgnoreCase) && !claimed.Contains(file))
            .Order(StringComparer.Ordinal)
            .ToList();
        if (unclaimed.Count > 0 && claimed.Count == 0)
        {
            return [new GoldenOutcome(Path.GetRelativePath(root, folder), GoldenVerdict.Unsupported, string.Create(CultureInfo.InvariantCulture, $"{Why} ({unclaimed.Count})"), null, null)];
        }

        return unclaimed.Select(file => new GoldenOutcome(Path.GetRelativePath(root, file), GoldenVerdict.Unsupported, Why, null, null));
    }
}
