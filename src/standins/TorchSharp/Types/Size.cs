using System.Collections;

namespace TorchSharp;

public static partial class torch
{
    public readonly struct Size : IEnumerable<long>
    {
        private readonly long[] _shape;

        public Size(long[] shape) => _shape = (long[])shape.Clone();

        public Size(IEnumerable<long> shape) => _shape = shape.ToArray();

        public int Length => _shape.Length;

        public long[] Shape => _shape;

        public bool IsEmpty => _shape.Length == 0;

        public long this[int idx] => _shape[idx];

        public static implicit operator Size(long size) => new([size]);

        public static implicit operator Size(long[] size) => new(size);

        public long numel()
        {
            var count = 1L;
            foreach (var length in _shape)
                count = checked(count * length);
            return count;
        }

        public IEnumerator<long> GetEnumerator() => ((IEnumerable<long>)_shape).GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
