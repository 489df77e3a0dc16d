// Shapes: m cached positions, K key/value heads, d head width.
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Generation;

/// <summary>Keys and values of one sequence in all layers; grows in blocks, so that a new token rarely copies.</summary>
internal sealed class KeyValueCache(int layerCount, AttentionShape shape, ScalarType type, Device device) : IDisposable
{
    private const long BlockRows = 128;

    private readonly (Tensor Keys, Tensor Values)?[] _layers = new (Tensor, Tensor)?[layerCount];
    private readonly long[] _lengths = new long[layerCount];

    /// <summary>Appends rows to a layer.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="keys">[new rows, K, d].</param>
    /// <param name="values">[new rows, K, d].</param>
    public void Append(int layer, Tensor keys, Tensor values)
    {
        using var scope = torch.NewDisposeScope();
        var count = keys.shape[0];
        var (keyStore, valueStore) = Reserve(layer, _lengths[layer] + count);
        keyStore.narrow(0, _lengths[layer], count).copy_(keys);
        valueStore.narrow(0, _lengths[layer], count).copy_(values);
        _lengths[layer] += count;
    }

    /// <summary>All keys and values of a layer, views [m, K, d]; the caller frees them.</summary>
    public (Tensor Keys, Tensor Values) Read(int layer)
    {
        var (keys, values) = _layers[layer]!.Value;
        return (keys.narrow(0, 0, _lengths[layer]), values.narrow(0, 0, _lengths[layer]));
    }

    /// <summary>Forgets all rows; their memory is used again.</summary>
    public void Clear() => Array.Clear(_lengths);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var layer in _layers)
        {
            layer?.Keys.Dispose();
            layer?.Values.Dispose();
        }
    }

    private (Tensor Keys, Tensor Values) Reserve(int layer, long length)
    {
        if (_layers[layer] is { } store && store.Keys.shape[0] >= length)
        {
            return store;
        }

        var rows = (length + BlockRows - 1) / BlockRows * BlockRows;
        var grown = (Keys: Allocate(rows), Values: Allocate(rows));
        if (_layers[layer] is { } old)
        {
            grown.Keys.narrow(0, 0, _lengths[layer]).copy_(old.Keys.narrow(0, 0, _lengths[layer]));
            grown.Values.narrow(0, 0, _lengths[layer]).copy_(old.Values.narrow(0, 0, _lengths[layer]));
            old.Keys.Dispose();
            old.Values.Dispose();
        }

        _layers[layer] = grown;
        return grown;
    }

    // Outlives the scope of the token that made it grow.
    private Tensor Allocate(long rows) =>
        torch.empty([rows, shape.KeyValueHeads, shape.HeadDimension], dtype: type, device: device).DetachFromDisposeScope();
}
