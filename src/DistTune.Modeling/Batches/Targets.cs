// Shapes: R rows that predict a trained token.
using DistTune.Core.Training;

namespace DistTune.Modeling.Batches;

/// <summary>Which rows predict a trained token, and which token that is.</summary>
internal sealed class Targets : IDisposable
{
    private Targets(Tensor rows, Tensor tokens, int count)
    {
        Rows = rows;
        Tokens = tokens;
        Count = count;
    }

    /// <summary>Indices of the predicting rows [R], int64, ascending.</summary>
    public Tensor Rows { get; }

    /// <summary>The tokens they predict [R], int64.</summary>
    public Tensor Tokens { get; }

    /// <summary>R.</summary>
    public int Count { get; }

    /// <summary>The trained tokens of segments that are packed one after another. The row before a token predicts it.</summary>
    public static Targets OfSegments(IReadOnlyList<Segment> segments, Device device)
    {
        var rows = new List<long>();
        var tokens = new List<long>();
        long first = 0;
        foreach (var segment in segments)
        {
            foreach (var span in segment.Labels)
            {
                for (var position = Math.Max(1, span.Start); position < span.End; position++)
                {
                    rows.Add(first + position - 1);
                    tokens.Add(segment.TokenIds[position]);
                }
            }

            first += segment.TokenIds.Length;
        }

        return new Targets(
            HostMemory.Upload<long>(rows.ToArray(), [rows.Count], ScalarType.Int64, device),
            HostMemory.Upload<long>(tokens.ToArray(), [tokens.Count], ScalarType.Int64, device),
            rows.Count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Rows.Dispose();
        Tokens.Dispose();
    }
}
