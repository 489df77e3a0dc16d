using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DistTune.Core.Configuration;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Data;

/// <summary>What loading found.</summary>
/// <param name="Rows">Rows read.</param>
/// <param name="Samples">Samples kept.</param>
/// <param name="Truncated">Samples that were cut to the sequence length.</param>
/// <param name="Untrained">Rows dropped because none of their tokens would be trained.</param>
/// <param name="Tokens">Tokens of all samples.</param>
/// <param name="TrainedTokens">Tokens that carry loss.</param>
public sealed record DataCounts(int Rows, int Samples, int Truncated, int Untrained, long Tokens, long TrainedTokens)
{
    /// <summary>Share of the tokens that carry loss, 0 to 1.</summary>
    public double TrainedShare => Tokens == 0 ? 0 : (double)TrainedTokens / Tokens;

    /// <summary>The counts in one line for a person.</summary>
    public override string ToString() => string.Create(
        System.Globalization.CultureInfo.InvariantCulture,
        $"{Samples} samples of {Rows} rows, {Tokens} tokens, {TrainedTokens} trained ({TrainedShare:P1}); {Truncated} cut to length, {Untrained} dropped");
}

/// <summary>Tokenised samples in the order of the files.</summary>
/// <param name="Samples">The samples.</param>
/// <param name="Hash">Lower-case hexadecimal SHA-256 of the samples' tokens and label spans.</param>
/// <param name="Counts">What loading found.</param>
public sealed record LoadedData(ImmutableArray<TokenizedSample> Samples, string Hash, DataCounts Counts)
{
    /// <summary>
    /// Holds samples out, chosen by the seed alone; both parts keep the order of the files.
    /// </summary>
    /// <param name="valSetSize">Share (below 1) or number (from 1 on) of samples to hold out; 0 holds none out.</param>
    /// <param name="seed">Seed of the choice.</param>
    /// <exception cref="DistTuneException">Nothing would be left to train on.</exception>
    public (LoadedData Training, LoadedData HeldOut) Split(double valSetSize, ulong seed)
    {
        if (!(valSetSize >= 0) || double.IsInfinity(valSetSize))
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"val_set_size must be a share from 0 to 1 or a number of rows, got {valSetSize}."));
        }

        var count = valSetSize == 0 ? 0 : valSetSize < 1 ? Math.Max(1, (int)Math.Round(valSetSize * Samples.Length)) : (int)Math.Min(valSetSize, int.MaxValue);
        if (count >= Samples.Length)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"val_set_size {valSetSize} holds out {count} of {Samples.Length} samples, and none is left to train on. Set it lower or add data."));
        }

        var order = CounterRandom.Permutation(seed, CounterRandom.Stream("held out"), Samples.Length);
        var heldOut = order.Take(count).ToHashSet();
        return (Part(index => !heldOut.Contains(index)), Part(heldOut.Contains));
    }

    internal static LoadedData Create(ImmutableArray<TokenizedSample> samples, int rows, int untrained) => new(samples, HashOf(samples), new DataCounts(
        rows,
        samples.Length,
        samples.Count(sample => sample.Truncated),
        untrained,
        samples.Sum(sample => (long)sample.TokenIds.Length),
        samples.Sum(sample => (long)sample.TrainedTokens)));

    private LoadedData Part(Func<int, bool> keep)
    {
        ImmutableArray<TokenizedSample> samples = [.. Samples.Where((_, index) => keep(index))];
        return Create(samples, samples.Length, 0);
    }

    private static string HashOf(ImmutableArray<TokenizedSample> samples)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> number = stackalloc byte[4];
        foreach (var sample in samples)
        {
            BinaryPrimitives.WriteInt32LittleEndian(number, sample.TokenIds.Length);
            hash.AppendData(number);
            Append(hash, sample.TokenIds.AsSpan());
            BinaryPrimitives.WriteInt32LittleEndian(number, sample.Labels.Length);
            hash.AppendData(number);
            Append(hash, MemoryMarshal.Cast<LabelSpan, int>(sample.Labels.AsSpan()));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(IncrementalHash hash, ReadOnlySpan<int> values)
    {
        Span<byte> bytes = stackalloc byte[4];
        foreach (var value in values)
        {
            BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
            hash.AppendData(bytes);
        }
    }
}

/// <summary>Reads and tokenises the files of a run.</summary>
public static class DataSet
{
    /// <summary>Loads files with the usual settings: the last answer of each row is trained, or everything.</summary>
    public static LoadedData Load(IReadOnlyList<DatasetConfig> files, Tokenizer tokenizer, ChatTemplate? template, int sequenceLength, bool trainOnInputs) =>
        Load(files, tokenizer, template, new SampleSettings(sequenceLength) { TrainOnInputs = trainOnInputs });

    /// <summary>Loads files in order, rows in order. Rows of which nothing is trained are dropped and counted.</summary>
    /// <exception cref="DistTuneException">A row cannot be read or rendered (the message names file, line and cure), or nothing at all is trained.</exception>
    public static LoadedData Load(IReadOnlyList<DatasetConfig> files, Tokenizer tokenizer, ChatTemplate? template, SampleSettings settings)
    {
        ArgumentNullException.ThrowIfNull(files);
        var encoder = new SampleEncoder(tokenizer, template, settings);
        var samples = ImmutableArray.CreateBuilder<TokenizedSample>();
        var (rows, untrained) = (0, 0);
        foreach (var file in files)
        {
            var format = DatasetFormats.Get(file.Type);
            foreach (var row in JsonLines.Read(file.Path))
            {
                rows++;
                var sample = Encode(encoder, format, row);
                if (sample.TrainedTokens > 0)
                {
                    samples.Add(sample with { Place = row.Place });
                }
                else
                {
                    untrained++;
                }
            }
        }

        return samples.Count > 0
            ? LoadedData.Create(samples.DrainToImmutable(), rows, untrained)
            : throw NothingTrained(files, rows, settings);
    }

    private static TokenizedSample Encode(SampleEncoder encoder, IDatasetFormat format, JsonLine row)
    {
        try
        {
            return encoder.Encode(format.Read(row));
        }
        catch (TemplateException error)
        {
            throw row.Fault($"{error.Message} Change the row, or set chat_template to a template that takes it.", error);
        }
        catch (InvalidOperationException error)
        {
            // The only text that JSON can carry and .NET cannot read is half of a surrogate pair.
            throw row.Fault("a text holds half of a surrogate pair (\\ud800 to \\udfff alone). Remove it.", error);
        }
    }

    private static DistTuneException NothingTrained(IReadOnlyList<DatasetConfig> files, int rows, SampleSettings settings)
    {
        var names = string.Join(", ", files.Select(file => $"'{file.Path}'"));
        return rows == 0
            ? new DistTuneException(FaultKind.Configuration, $"There is no row in {names}. Check datasets.path.")
            : new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"None of the {rows} rows of {names} has a token to train on: no row has an assistant's answer within sequence_len {settings.SequenceLength}. Raise sequence_len or check the rows' roles."));
    }
}
