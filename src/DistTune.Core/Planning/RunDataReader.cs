using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Configuration;
using DistTune.Core.Data;
using DistTune.Core.Text;

namespace DistTune.Core.Planning;

/// <summary>Reads and tokenises the rows of a run, and chooses what is measured on them.</summary>
internal static class RunDataReader
{
    /// <summary>Reads training rows, held-out rows and prompts.</summary>
    /// <exception cref="DistTuneException">A file or row cannot be used, or nothing is trained; the message names it.</exception>
    public static RunData Read(RunConfig config, Tokenizer tokenizer, ChatTemplate? template)
    {
        var settings = new SampleSettings(config.SequenceLength) { TrainOnInputs = config.TrainOnInputs };
        var all = DataSet.Load(config.Datasets, tokenizer, template, settings);
        var (training, heldOut) = config.EvaluationDatasets.IsEmpty
            ? Split(all, config)
            : (all, DataSet.Load(config.EvaluationDatasets, tokenizer, template, settings));
        var heldOutSamples = heldOut?.Samples ?? [];
        return new RunData(
            [.. training.Samples.Select(sample => sample.ToPlannedSample())],
            [.. heldOutSamples.Select(sample => sample.ToPlannedSample())],
            config.GenerateSamples ? Prompts(config, heldOutSamples, new SampleEncoder(tokenizer, template, settings)) : [],
            all.Counts.Untrained,
            training.Counts.Truncated);
    }

    private static (LoadedData Training, LoadedData? HeldOut) Split(LoadedData all, RunConfig config)
    {
        if (config.HeldOut == 0)
        {
            return (all, null);
        }

        var (training, heldOut) = all.Split(config.HeldOut, config.Seed);
        return (training, heldOut);
    }

    private static ImmutableArray<PlannedPrompt> Prompts(RunConfig config, ImmutableArray<TokenizedSample> heldOut, SampleEncoder encoder)
    {
        var candidates = heldOut.Select(sample => sample.ToPlannedPrompt()).OfType<PlannedPrompt>().Where(prompt => prompt.TokenIds.Length < config.SequenceLength).ToArray();
        var count = Math.Min(config.EvaluationSamples, candidates.Length);
        var prompts = ImmutableArray.CreateBuilder<PlannedPrompt>();
        for (var i = 0; i < count; i++)
        {
            // Spread over the file: rows of one kind often stand together.
            prompts.Add(candidates[(int)((long)i * candidates.Length / count)]);
        }

        foreach (var text in config.SamplePrompts)
        {
            var ids = encoder.EncodePrompt([JsonSerializer.SerializeToElement(new { role = "user", content = text })]);
            prompts.Add(ids.Length < config.SequenceLength
                ? new PlannedPrompt(ids, text, null)
                : throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"A sample prompt has {ids.Length} tokens; with an answer it would not fit into sequence_len {config.SequenceLength}. Shorten it: {text[..Math.Min(60, text.Length)]}…")));
        }

        return prompts.ToImmutable();
    }
}
