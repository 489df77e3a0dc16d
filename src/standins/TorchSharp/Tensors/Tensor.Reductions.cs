using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        public Tensor sum(ScalarType? type = null) => Aten.Sum.One(this, type);
        public Tensor sum(long dim, bool keepdim = false, ScalarType? type = null) => sum([dim], keepdim, type);
        public Tensor sum(long[] dim, bool keepdim = false, ScalarType? type = null) => Aten.SumDims.One(this, dim, keepdim, type);
        public Tensor sum(ReadOnlySpan<long> dim, bool keepdim = false, ScalarType? type = null) => Aten.SumDims.One(this, dim.ToArray(), keepdim, type);
        public Tensor mean() => Aten.Mean.One(this, Arg.None);
        public Tensor mean(long[] dimensions, bool keepdim = false, ScalarType? type = null) => Aten.MeanDims.One(this, dimensions, keepdim, type);
        public Tensor prod(ScalarType? type = null) => Aten.Prod.One(this, type);
        public Tensor var(bool unbiased = true) => Aten.Var.One(this, unbiased);
        public Tensor var(long dim, bool unbiased = true, bool keepdim = false, ScalarType? type = null) => AsType(Aten.VarDims.One(this, (long[])[dim], unbiased, keepdim), type);
        public Tensor std(bool unbiased = true) => Aten.Std.One(this, unbiased);
        public Tensor std(long dim, bool unbiased = true, bool keepdim = false, ScalarType? type = null) => AsType(Aten.StdDims.One(this, (long[])[dim], unbiased, keepdim), type);
        public Tensor norm(float p = 2) => Aten.Norm.One(this, (double)p);
        public Tensor norm(int dim, bool keepdim = false, float p = 2) => Aten.NormDims.One(this, (double)p, (long[])[dim], keepdim);
        public Tensor max() => Aten.Max.One(this);
        public Tensor max(Tensor other) => Aten.Maximum.One(this, other);
        public (Tensor values, Tensor indexes) max(long dim, bool keepdim = false) => Aten.MaxDim.Two(this, dim, keepdim);
        public Tensor min() => Aten.Min.One(this);
        public Tensor min(Tensor other) => Aten.Minimum.One(this, other);
        public (Tensor values, Tensor indexes) min(long dim, bool keepdim = false) => Aten.MinDim.Two(this, dim, keepdim);
        public Tensor maximum(Tensor other) => Aten.Maximum.One(this, other);
        public Tensor minimum(Tensor other) => Aten.Minimum.One(this, other);
        public Tensor amax(params long[] dims) => Aten.Amax.One(this, dims, false);
        public Tensor argmax() => Aten.Argmax.One(this, Arg.None, false);
        public Tensor argmax(long dim, bool keepdim = false) => Aten.Argmax.One(this, dim, keepdim);
        public Tensor argmin() => Aten.Argmin.One(this, Arg.None, false);
        public Tensor argmin(long dim, bool keepdim = false) => Aten.Argmin.One(this, dim, keepdim);
        public Tensor all() => Aten.All.One(this);
        public Tensor all(long dim, bool keepdim = false) => Aten.AllDim.One(this, dim, keepdim);
        public Tensor any() => Aten.Any.One(this);
        public Tensor any(long dim, bool keepdim = false) => Aten.AnyDim.One(this, dim, keepdim);
        public Tensor softmax(long dim, ScalarType? dtype = null) => Aten.Softmax.One(this, dim, dtype);
        public Tensor log_softmax(long dim, ScalarType? dtype = null) => Aten.LogSoftmax.One(this, dim, dtype);
        public Tensor logsumexp(long dim, bool keepdim = false) => Aten.Logsumexp.One(this, (long[])[dim], keepdim);
        public Tensor cumsum(long dim, ScalarType? type = null) => Aten.Cumsum.One(this, dim, type);
        public (Tensor values, Tensor indexes) topk(int k, int dim = -1, bool largest = true, bool sorted = true) => Aten.Topk.Two(this, k, dim, largest, sorted);
        public (Tensor Values, Tensor Indices) sort(long dim = -1, bool descending = false, bool stable = false) => Aten.Sort.Two(this, stable, dim, descending);
        public Tensor argsort(long dim = -1, bool descending = false) => Aten.Argsort.One(this, dim, descending);

        public Tensor eq(Tensor target) => Aten.Eq.One(this, target);
        public Tensor eq(Scalar target) => Aten.EqScalar.One(this, target);
        public Tensor ne(Tensor target) => Aten.Ne.One(this, target);
        public Tensor ne(Scalar target) => Aten.NeScalar.One(this, target);
        public Tensor lt(Tensor target) => Aten.Lt.One(this, target);
        public Tensor lt(Scalar target) => Aten.LtScalar.One(this, target);
        public Tensor le(Tensor target) => Aten.Le.One(this, target);
        public Tensor le(Scalar target) => Aten.LeScalar.One(this, target);
        public Tensor gt(Tensor target) => Aten.Gt.One(this, target);
        public Tensor gt(Scalar target) => Aten.GtScalar.One(this, target);
        public Tensor ge(Tensor target) => Aten.Ge.One(this, target);
        public Tensor ge(Scalar target) => Aten.GeScalar.One(this, target);
        public Tensor isfinite() => Aten.Isfinite.One(this);
        public Tensor isnan() => Aten.Isnan.One(this);
        public Tensor isinf() => Aten.Isinf.One(this);
        public Tensor logical_not() => Aten.LogicalNot.One(this);
        public Tensor logical_and(Tensor other) => Aten.LogicalAnd.One(this, other);
        public Tensor logical_or(Tensor other) => Aten.LogicalOr.One(this, other);
        public Tensor bitwise_and(Tensor other) => Aten.BitwiseAnd.One(this, other);
        public Tensor bitwise_or(Tensor other) => Aten.BitwiseOr.One(this, other);

        public bool allclose(Tensor target, double rtol = 1e-05, double atol = 1e-08, bool equal_nan = false) =>
            Aten.Allclose.Truth(this, target, rtol, atol, equal_nan);

        public Tensor isclose(Tensor other, double rtol = 1e-05, double atol = 1e-08, bool nanEqual = false) =>
            Aten.Isclose.One(this, other, rtol, atol, nanEqual);

        public bool Equals(Tensor target) => Aten.Equal.Truth(this, target);

        public override bool Equals(object? obj) => obj is Tensor other && Equals(other);

        public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);

        public static Tensor operator ==(Tensor left, Tensor right) => left.eq(right);
        public static Tensor operator ==(Tensor left, Scalar right) => left.eq(right);
        public static Tensor operator ==(Scalar left, Tensor right) => right.eq(left);
        public static Tensor operator !=(Tensor left, Tensor right) => left.ne(right);
        public static Tensor operator !=(Tensor left, Scalar right) => left.ne(right);
        public static Tensor operator !=(Scalar left, Tensor right) => right.ne(left);
        public static Tensor operator <(Tensor left, Tensor right) => left.lt(right);
        public static Tensor operator <(Tensor left, Scalar right) => left.lt(right);
        public static Tensor operator <(Scalar left, Tensor right) => right.gt(left);
        public static Tensor operator <=(Tensor left, Tensor right) => left.le(right);
        public static Tensor operator <=(Tensor left, Scalar right) => left.le(right);
        public static Tensor operator <=(Scalar left, Tensor right) => right.ge(left);
        public static Tensor operator >(Tensor left, Tensor right) => left.gt(right);
        public static Tensor operator >(Tensor left, Scalar right) => left.gt(right);
        public static Tensor operator >(Scalar left, Tensor right) => right.lt(left);
        public static Tensor operator >=(Tensor left, Tensor right) => left.ge(right);
        public static Tensor operator >=(Tensor left, Scalar right) => left.ge(right);
        public static Tensor operator >=(Scalar left, Tensor right) => right.le(left);
        public static Tensor operator &(Tensor left, Tensor right) => left.bitwise_and(right);
        public static Tensor operator |(Tensor left, Tensor right) => left.bitwise_or(right);
        public static Tensor operator %(Tensor left, Tensor right) => Aten.Remainder.One(left, right);
        public static Tensor operator %(Tensor left, Scalar right) => Aten.RemainderScalar.One(left, right);
        public static Tensor operator ~(Tensor left) => Aten.BitwiseNot.One(left);

        private static Tensor AsType(Tensor result, ScalarType? type) => type is { } t ? result.to_type(t, disposeAfter: true) : result;
    }
}
