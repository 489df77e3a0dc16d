namespace TorchSharp;

public static partial class torch
{
    public struct TensorIndex
    {
        internal enum Form
        {
            NewAxis,
            Ellipsis,
            Single,
            Slice,
            Mask,
            Tensor,
        }

        internal Form Kind;
        internal long? Start;
        internal long? Stop;
        internal long? Step;
        internal Tensor? Indices;

        public static readonly TensorIndex Ellipsis = new() { Kind = Form.Ellipsis };
        public static readonly TensorIndex Colon = new() { Kind = Form.Slice };
        public static readonly TensorIndex None = new() { Kind = Form.NewAxis };
        public static readonly TensorIndex Null = new() { Kind = Form.NewAxis };

        public static TensorIndex Slice(long? start = null, long? stop = null, long? step = null) =>
            new() { Kind = Form.Slice, Start = start, Stop = stop, Step = step };

        public static TensorIndex Slice(Range range) =>
            Slice(From(range.Start, true), From(range.End, false));

        public static TensorIndex Single(long? index) => index is { } i ? new() { Kind = Form.Single, Start = i } : Null;

        public static TensorIndex Bool(bool value) => new() { Kind = Form.Mask, Start = value ? 1 : 0 };

        public static TensorIndex Tensor(Tensor tensor) => new() { Kind = Form.Tensor, Indices = tensor };

        public static implicit operator TensorIndex(long value) => Single(value);

        public static implicit operator TensorIndex(Index index) => Single(index.IsFromEnd ? -index.Value : index.Value);

        public static implicit operator TensorIndex(Range range) => Slice(range);

        // ^0 is the end itself, which libtorch spells by leaving the bound out.
        private static long? From(Index index, bool start) =>
            !index.IsFromEnd ? index.Value : index.Value == 0 && !start ? null : -index.Value;
    }
}
