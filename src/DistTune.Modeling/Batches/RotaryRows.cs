// Shapes: T rows.
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Batches;

/// <summary>Where a row stands: its position, and how long the longest sequence is that counts for its angle.</summary>
internal readonly record struct RowPlace(int Position, int Length);

/// <summary>Cosines and sines of the rotary angles of rows.</summary>
/// <param name="Cosine">[T, 1, pairs].</param>
/// <param name="Sine">[T, 1, pairs].</param>
internal sealed record RotaryRows(Tensor Cosine, Tensor Sine) : IDisposable
{
    /// <summary>Looks the rows up and puts them on the model's device.</summary>
    public static RotaryRows Create(RotaryTable table, ReadOnlySpan<RowPlace> places, BaseModel model) =>
        model.ComputeType == ScalarType.Float64
            ? Create<double>(table, places, model, ScalarType.Float64, static (angles, position, cosine, sine) => angles.CopyExact(position, cosine, sine))
            : Create<float>(table, places, model, ScalarType.Float32, static (angles, position, cosine, sine) => angles.Copy(position, cosine, sine));

    /// <inheritdoc/>
    public void Dispose()
    {
        Cosine.Dispose();
        Sine.Dispose();
    }

    private static RotaryRows Create<T>(RotaryTable table, ReadOnlySpan<RowPlace> places, BaseModel model, ScalarType type, Lookup<T> lookup)
        where T : unmanaged
    {
        var pairs = table.Pairs;
        var cosine = new T[places.Length * pairs];
        var sine = new T[places.Length * pairs];
        var (angles, length) = (table.At(0), 0);
        for (var row = 0; row < places.Length; row++)
        {
            // Rows of one sequence follow one another, so this looks a set up once for each.
            (angles, length) = places[row].Length == length ? (angles, length) : (table.At(places[row].Length), places[row].Length);
            lookup(angles, places[row].Position, cosine.AsSpan(row * pairs, pairs), sine.AsSpan(row * pairs, pairs));
        }

        long[] shape = [places.Length, 1, pairs];
        return new RotaryRows(HostMemory.Upload<T>(cosine, shape, type, model.Device), HostMemory.Upload<T>(sine, shape, type, model.Device));
    }

    private delegate void Lookup<T>(RotaryAngles angles, int position, Span<T> cosine, Span<T> sine);
}
