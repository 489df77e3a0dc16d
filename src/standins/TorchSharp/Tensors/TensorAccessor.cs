using System.Collections;
using static TorchSharp.torch;

namespace TorchSharp.Utils;

/// <summary>Reads and writes the elements of a CPU tensor, in row-major order whatever its strides are.</summary>
public sealed unsafe class TensorAccessor<T> : IDisposable, IEnumerable<T> where T : unmanaged
{
    private readonly Tensor _tensor;
    private readonly T* _data;
    private readonly long[] _shape;
    private readonly long[] _strides;
    private readonly bool _contiguous;

    internal TensorAccessor(Tensor tensor)
    {
        // An alias of its own, outside every scope: the memory lives as long as the accessor does.
        _tensor = tensor.alias().DetachFromDisposeScope();
        _data = (T*)_tensor.Data();
        _shape = _tensor.shape;
        _strides = _tensor.stride();
        _contiguous = _tensor.is_contiguous();
        Count = _tensor.NumberOfElements;
    }

    public long Count { get; }

    public bool IsReadOnly => false;

    public T this[params long[] indices]
    {
        get => *Address(indices);
        set => *Address(indices) = value;
    }

    public T[] ToArray()
    {
        var array = new T[Count];
        CopyTo(array);
        return array;
    }

    public void CopyTo(T[] array, int arrayIndex = 0, long tensorIndex = 0) => CopyTo(array.AsSpan(), arrayIndex, tensorIndex);

    public void CopyTo(Span<T> array, int arrayIndex = 0, long tensorIndex = 0)
    {
        var count = Math.Min(array.Length - arrayIndex, Count - tensorIndex);
        if (_contiguous)
        {
            new ReadOnlySpan<T>(_data + tensorIndex, (int)count).CopyTo(array[arrayIndex..]);
            return;
        }
        for (var i = 0L; i < count; i++)
            array[arrayIndex + (int)i] = _data[Offset(tensorIndex + i)];
    }

    public void CopyFrom(T[] array, int arrayIndex = 0, long tensorIndex = 0) =>
        CopyFrom((ReadOnlySpan<T>)array, arrayIndex, tensorIndex);

    public void CopyFrom(ReadOnlySpan<T> array, int arrayIndex = 0, long tensorIndex = 0)
    {
        var count = Math.Min(array.Length - arrayIndex, Count - tensorIndex);
        if (_contiguous)
        {
            array.Slice(arrayIndex, (int)count).CopyTo(new Span<T>(_data + tensorIndex, (int)count));
            return;
        }
        for (var i = 0L; i < count; i++)
            _data[Offset(tensorIndex + i)] = array[arrayIndex + (int)i];
    }

    public IEnumerator<T> GetEnumerator()
    {
        for (var i = 0L; i < Count; i++)
            yield return At(i);
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose() => _tensor.Dispose();

    private T At(long linear) => _data[_contiguous ? linear : Offset(linear)];

    private T* Address(long[] indices)
    {
        if (indices.Length == 1 && _shape.Length != 1)
        {
            if ((ulong)indices[0] >= (ulong)Count)
                throw new IndexOutOfRangeException($"Index {indices[0]} is outside a tensor of {Count} elements.");
            return _data + Offset(indices[0]);
        }
        if (indices.Length != _shape.Length)
            throw new ArgumentException($"Got {indices.Length} indices for a tensor of {_shape.Length} dimensions.");
        var offset = 0L;
        for (var i = 0; i < indices.Length; i++)
        {
            if ((ulong)indices[i] >= (ulong)_shape[i])
                throw new IndexOutOfRangeException($"Index {indices[i]} is outside dimension {i} of length {_shape[i]}.");
            offset += indices[i] * _strides[i];
        }
        return _data + offset;
    }

    private long Offset(long linear)
    {
        var offset = 0L;
        for (var i = _shape.Length - 1; i >= 0; i--)
        {
            offset += linear % _shape[i] * _strides[i];
            linear /= _shape[i];
        }
        return offset;
    }
}
