using System.Collections.Frozen;
using System.Collections.Immutable;

namespace DistTune.Core.Formats;

/// <summary>A GGUF model as Hugging Face would store it: its names, and the rows of q and k back in its order.</summary>
public sealed class GgufWeights : IWeightSource
{
    private readonly FrozenDictionary<string, Entry> _entries;

    private GgufWeights(GgufFile file)
    {
        File = file;
        var architecture = GgufArchitectures.Of(file);
        var entries = new Dictionary<string, Entry>(StringComparer.Ordinal);
        foreach (var tensor in file.Tensors)
        {
            if (architecture.WeightName(file, tensor.Name) is not { } name)
            {
                continue;
            }

            var heads = architecture.InterleavedHeads(file, tensor.Name);
            if (heads > 0 && tensor.Shape[0] % (2L * heads) != 0)
            {
                throw FileFault.Of(
                    file.Path,
                    $"the {tensor.Shape[0]} rows of '{tensor.Name}' do not belong to {heads} heads of even width",
                    GgufReader.FetchAgain);
            }

            entries.Add(name, new Entry(tensor, heads, new WeightInfo(name, tensor.Type.WeightType, tensor.Shape)));
        }

        _entries = entries.ToFrozenDictionary(StringComparer.Ordinal);
        Weights = [.. entries.Values.Select(entry => entry.Info).OrderBy(info => info.Name, StringComparer.Ordinal)];
    }

    /// <summary>The file itself.</summary>
    public GgufFile File { get; }

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights { get; }

    /// <summary>Maps a GGUF file of a supported architecture.</summary>
    /// <exception cref="DistTuneException">The file is not valid, or not of a supported architecture.</exception>
    public static GgufWeights Open(string path)
    {
        var file = GgufFile.Open(path);
        try
        {
            return new GgufWeights(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _entries.TryGetValue(name, out var entry) ? entry.Info : null;

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination)
    {
        var entry = Find(name, destination.Length, 1);
        if (entry.IsPermutedVector)
        {
            var stored = new float[destination.Length];
            File.ReadRow(entry.Tensor, 0, stored);
            entry.Permute<float>(stored, destination, 1);
            return;
        }

        var columns = checked((int)entry.Info.Shape[^1]);
        for (var row = 0L; row < entry.Rows; row++)
        {
            File.ReadRow(entry.Tensor, entry.StoredRow(row), destination.Slice((int)(row * columns), columns));
        }
    }

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination)
    {
        if (Find(name) is { Type: WeightType.Quantized })
        {
            throw new ArgumentException($"'{name}' is stored in blocks; it can only be read as fp32.", nameof(name));
        }

        var size = Find(name) is { Type: not WeightType.Other } info ? WeightConversion.SizeOf(info.Type) : 1;
        var entry = Find(name, destination.Length, size);
        if (entry.IsPermutedVector)
        {
            entry.Permute(File.RowBytes(entry.Tensor, 0), destination, size);
            return;
        }

        var bytes = checked((int)(entry.Info.Shape[^1] * size));
        for (var row = 0L; row < entry.Rows; row++)
        {
            File.RowBytes(entry.Tensor, entry.StoredRow(row)).CopyTo(destination.Slice((int)(row * bytes), bytes));
        }
    }

    /// <inheritdoc/>
    public void Dispose() => File.Dispose();

    private Entry Find(string name, int length, int elementSize)
    {
        if (!_entries.TryGetValue(name, out var entry))
        {
            throw FileFault.Of(
                File.Path,
                $"there is no weight '{name}'",
                $"It holds {Weights.Length} weights; check that the file belongs to this model.");
        }

        return (Int128)entry.Info.Length * elementSize == length
            ? entry
            : throw new ArgumentException(
                $"'{name}' has {entry.Info.Length} elements of {elementSize}; the destination has {length}.",
                nameof(length));
    }

    /// <summary>A tensor seen in Hugging Face's row order. A vector with heads (a bias) counts each element as a row.</summary>
    private sealed record Entry(GgufTensor Tensor, int Heads, WeightInfo Info)
    {
        public bool IsPermutedVector => Info.Shape.Length == 1 && Heads > 0;

        public long Rows => IsPermutedVector ? Info.Length : Info.Length / Info.Shape[^1];

        public long StoredRow(long row)
        {
            if (Heads == 0)
            {
                return row;
            }

            var width = Rows / Heads;
            var (head, within) = Math.DivRem(row, width);
            var (half, pair) = Math.DivRem(within, width / 2);
            return (head * width) + (2 * pair) + half;
        }

        public void Permute<T>(ReadOnlySpan<T> stored, Span<T> destination, int size)
        {
            for (var row = 0; row < Rows; row++)
            {
                stored.Slice((int)StoredRow(row) * size, size).CopyTo(destination.Slice(row * size, size));
            }
        }
    }
}
