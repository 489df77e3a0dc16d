using System.Runtime.CompilerServices;
using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        [IndexerName("TensorItems")]
        public Tensor this[params TensorIndex[] indices]
        {
            get => index(indices);
            set => index_put_(value, indices);
        }

        [IndexerName("TensorItems")]
        public Tensor this[params Tensor[] indices]
        {
            get => index(indices);
            set => index_put_(value, indices);
        }

        [IndexerName("TensorItems")]
        public Tensor this[long i1]
        {
            get => select(0, i1);
            set => this[(TensorIndex)i1] = value;
        }

        [IndexerName("TensorItems")]
        public Tensor this[long i1, long i2]
        {
            get => this[i1, (TensorIndex)i2];
            set => this[i1, (TensorIndex)i2] = value;
        }

        [IndexerName("TensorItems")]
        public Tensor this[long i1, long i2, long i3]
        {
            get => this[i1, i2, (TensorIndex)i3];
            set => this[i1, i2, (TensorIndex)i3] = value;
        }

        [IndexerName("TensorItems")]
        public Tensor this[long i1, long i2, long i3, long i4]
        {
            get => this[i1, i2, i3, (TensorIndex)i4];
            set => this[i1, i2, i3, (TensorIndex)i4] = value;
        }

        public Tensor index(params TensorIndex[] indices)
        {
            var view = View(indices, out var gathered);
            if (gathered is null)
                return view;
            var result = Aten.Index.One(view, Arg.OptionalTensors(gathered));
            view.Dispose();
            return result;
        }

        public Tensor index(params Tensor[] indices) => Aten.Index.One(this, Arg.OptionalTensors(indices));

        public Tensor index_put_(Tensor value, params TensorIndex[] indices) => index_put_(value, indices, false);

        public Tensor index_put_(Tensor value, TensorIndex[] indices, bool accumulate = false)
        {
            using var view = View(indices, out var gathered);
            if (gathered is not null)
                Aten.IndexPut.InPlace(view, view, Arg.OptionalTensors(gathered), value, accumulate);
            else if (accumulate)
                view.add_(value);
            else
                view.copy_(value);
            return this;
        }

        public Tensor index_put_(Tensor value, params Tensor[] indices) => index_put_(value, indices, false);

        public Tensor index_put_(Tensor value, Tensor[] indices, bool accumulate = false) =>
            Aten.IndexPut.InPlace(this, this, Arg.OptionalTensors(indices), value, accumulate);

        public Tensor index_select(long dim, Tensor index) => Aten.IndexSelect.One(this, dim, index);
        public Tensor index_add(long dim, Tensor index, Tensor source, Scalar alpha) => Aten.IndexAdd.One(this, dim, index, source, alpha);
        public Tensor index_add_(long dim, Tensor index, Tensor source, Scalar alpha) => Aten.IndexAddInPlace.InPlace(this, this, dim, index, source, alpha);
        public Tensor index_copy_(long dim, Tensor index, Tensor source) => Aten.IndexCopyInPlace.InPlace(this, this, dim, index, source);
        public Tensor gather(long dim, Tensor index) => Aten.Gather.One(this, dim, index, false);
        public Tensor scatter(long dim, Tensor index, Tensor src) => Aten.Scatter.One(this, dim, index, src);
        public Tensor scatter_(long dim, Tensor index, Tensor src) => Aten.ScatterInPlace.InPlace(this, this, dim, index, src);
        public Tensor scatter_add_(long dim, Tensor index, Tensor src) => Aten.ScatterAddInPlace.InPlace(this, this, dim, index, src);
        public Tensor masked_fill(Tensor mask, Scalar value) => Aten.MaskedFill.One(this, mask, value);
        public Tensor masked_fill_(Tensor mask, Scalar value) => Aten.MaskedFillInPlace.InPlace(this, this, mask, value);
        public Tensor masked_select(Tensor mask) => Aten.MaskedSelect.One(this, mask);
        public Tensor where(Tensor condition, Tensor y) => Aten.Where.One(condition, this, y);
        public Tensor nonzero() => Aten.Nonzero.One(this);

        /// <summary>Applies slices, single indices and new axes as views; what is left are the tensors to gather by.</summary>
        private Tensor View(TensorIndex[] indices, out Tensor?[]? gathered)
        {
            var consumed = 0;
            foreach (ref readonly var index in indices.AsSpan())
            {
                if (index.Kind is not (TensorIndex.Form.NewAxis or TensorIndex.Form.Ellipsis or TensorIndex.Form.Mask))
                    consumed += index.Kind == TensorIndex.Form.Tensor && index.Indices!.dtype == ScalarType.Bool ? (int)index.Indices.ndim : 1;
            }
            Tensor?[]? tensors = null;
            var view = alias();
            var dimension = 0L;
            foreach (ref readonly var index in indices.AsSpan())
            {
                switch (index.Kind)
                {
                    case TensorIndex.Form.Ellipsis:
                        dimension += Dimensions - consumed;
                        break;
                    case TensorIndex.Form.NewAxis:
                        view = Next(view, view.unsqueeze(dimension++));
                        break;
                    case TensorIndex.Form.Single:
                        view = Next(view, view.select(dimension, index.Start!.Value));
                        break;
                    case TensorIndex.Form.Slice:
                        if (index.Start is not null || index.Stop is not null || index.Step is not null)
                            view = Next(view, Aten.Slice.One(view, dimension, index.Start, index.Stop, index.Step ?? 1));
                        dimension++;
                        break;
                    case TensorIndex.Form.Tensor:
                        var at = (int)dimension;
                        Array.Resize(ref tensors, Math.Max(tensors?.Length ?? 0, at + 1));
                        tensors[at] = index.Indices;
                        dimension += index.Indices!.dtype == ScalarType.Bool ? index.Indices.ndim : 1;
                        break;
                    default:
                        throw new NotSupportedException("A single truth value as an index is not supported by this build of TorchSharp.");
                }
            }
            gathered = tensors;
            return view;
        }

        private static Tensor Next(Tensor before, Tensor after)
        {
            before.Dispose();
            return after;
        }

    }
}
