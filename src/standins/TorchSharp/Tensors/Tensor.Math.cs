using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        public Tensor mm(Tensor target) => Aten.Mm.One(this, target);
        public Tensor matmul(Tensor target) => Aten.Matmul.One(this, target);
        public Tensor bmm(Tensor batch2) => Aten.Bmm.One(this, batch2);
        public Tensor mv(Tensor target) => Aten.Mv.One(this, target);
        public Tensor dot(Tensor target) => Aten.Dot.One(this, target);
        public Tensor outer(Tensor vec2) => Aten.Outer.One(this, vec2);
        public Tensor addmm(Tensor mat1, Tensor mat2, float beta = 1, float alpha = 1) => Aten.Addmm.One(this, mat1, mat2, (double)beta, (double)alpha);
        public Tensor addmm_(Tensor mat1, Tensor mat2, float beta = 1, float alpha = 1) => Aten.AddmmInPlace.InPlace(this, this, mat1, mat2, (double)beta, (double)alpha);
        public Tensor baddbmm(Tensor batch1, Tensor batch2, float beta = 1, float alpha = 1) => Aten.Baddbmm.One(this, batch1, batch2, (double)beta, (double)alpha);

        public Tensor add(Tensor target) => Aten.Add.One(this, target, 1L);
        public Tensor add(Tensor target, Scalar alpha) => Aten.Add.One(this, target, alpha);
        public Tensor add(Scalar scalar) => Aten.AddScalar.One(this, scalar, 1L);
        public Tensor add(Scalar scalar, Scalar alpha) => Aten.AddScalar.One(this, scalar, alpha);
        public Tensor add_(Tensor target) => Aten.AddInPlace.InPlace(this, this, target, 1L);
        public Tensor add_(Tensor target, Scalar alpha) => Aten.AddInPlace.InPlace(this, this, target, alpha);
        public Tensor add_(Scalar scalar) => Aten.AddScalarInPlace.InPlace(this, this, scalar, 1L);
        public Tensor sub(Tensor target) => Aten.Sub.One(this, target, 1L);
        public Tensor sub(Scalar target) => Aten.SubScalar.One(this, target, 1L);
        public Tensor sub_(Tensor target) => Aten.SubInPlace.InPlace(this, this, target, 1L);
        public Tensor sub_(Scalar target) => Aten.SubScalarInPlace.InPlace(this, this, target, 1L);
        public Tensor mul(Tensor target) => Aten.Mul.One(this, target);
        public Tensor mul(Scalar target) => Aten.MulScalar.One(this, target);
        public Tensor mul_(Tensor target) => Aten.MulInPlace.InPlace(this, this, target);
        public Tensor mul_(Scalar target) => Aten.MulScalarInPlace.InPlace(this, this, target);
        public Tensor div(Tensor target, RoundingMode rounding_mode = RoundingMode.None) => Aten.Div.One(this, target, Mode(rounding_mode));
        public Tensor div(Scalar target, RoundingMode rounding_mode = RoundingMode.None) => Aten.DivScalar.One(this, target, Mode(rounding_mode));
        public Tensor div_(Tensor target, RoundingMode rounding_mode = RoundingMode.None) => Aten.DivInPlace.InPlace(this, this, target, Mode(rounding_mode));
        public Tensor div_(Scalar target, RoundingMode rounding_mode = RoundingMode.None) => Aten.DivScalarInPlace.InPlace(this, this, target, Mode(rounding_mode));
        public Tensor pow(Tensor exponent) => Aten.Pow.One(this, exponent);
        public Tensor pow(Scalar exponent) => Aten.PowScalar.One(this, exponent);
        public Tensor addcmul(Tensor tensor1, Tensor tensor2, Scalar value) => Aten.Addcmul.One(this, tensor1, tensor2, value);
        public Tensor addcmul_(Tensor tensor1, Tensor tensor2, Scalar value) => Aten.AddcmulInPlace.InPlace(this, this, tensor1, tensor2, value);

        public Tensor neg() => Aten.Neg.One(this);
        public Tensor neg_() => Aten.NegInPlace.InPlace(this, this);
        public Tensor exp() => Aten.Exp.One(this);
        public Tensor exp_() => Aten.ExpInPlace.InPlace(this, this);
        public Tensor log() => Aten.Log.One(this);
        public Tensor sqrt() => Aten.Sqrt.One(this);
        public Tensor rsqrt() => Aten.Rsqrt.One(this);
        public Tensor square() => Aten.Square.One(this);
        public Tensor reciprocal() => Aten.Reciprocal.One(this);
        public Tensor sin() => Aten.Sin.One(this);
        public Tensor cos() => Aten.Cos.One(this);
        public Tensor tanh() => Aten.Tanh.One(this);
        public Tensor tanh_() => Aten.TanhInPlace.InPlace(this, this);
        public Tensor erf() => Aten.Erf.One(this);
        public Tensor sigmoid() => Aten.Sigmoid.One(this);
        public Tensor silu() => Aten.Silu.One(this);
        public Tensor relu() => Aten.Relu.One(this);
        public Tensor gelu() => Aten.Gelu.One(this, "none");
        public Tensor softplus(double beta = 1, double threshold = 20) => Aten.Softplus.One(this, beta, threshold);
        public Tensor abs() => Aten.Abs.One(this);
        public Tensor sign() => Aten.Sign.One(this);
        public Tensor floor() => Aten.Floor.One(this);
        public Tensor round(long decimals = 0) => Aten.Round.One(this, decimals);
        public Tensor clamp(Scalar? min = null, Scalar? max = null) => Aten.Clamp.One(this, min, max);
        public Tensor clamp(Tensor? min = null, Tensor? max = null) => Aten.ClampTensor.One(this, min, max);
        public Tensor clamp_(Scalar? min = null, Scalar? max = null) => Aten.ClampInPlace.InPlace(this, this, min, max);
        public Tensor clip(Scalar? min = null, Scalar? max = null) => clamp(min, max);
        public Tensor tril(long diagonal = 0) => Aten.Tril.One(this, diagonal);
        public Tensor triu(long diagonal = 0) => Aten.Triu.One(this, diagonal);

        public Tensor copy_(Tensor source, bool nonBlocking = false) => Aten.CopyInPlace.InPlace(this, this, source, nonBlocking);
        public Tensor fill_(Scalar value) => Aten.FillInPlace.InPlace(this, this, value);
        public Tensor zero_() => Aten.ZeroInPlace.InPlace(this, this);

        public static Tensor operator +(Tensor left, Tensor right) => left.add(right);
        public static Tensor operator +(Tensor left, Scalar right) => left.add(right);
        public static Tensor operator +(Scalar left, Tensor right) => right.add(left);
        public static Tensor operator +(Tensor left, int right) => left.add(right);
        public static Tensor operator +(Tensor left, long right) => left.add(right);
        public static Tensor operator +(Tensor left, float right) => left.add(right);
        public static Tensor operator +(Tensor left, double right) => left.add(right);
        public static Tensor operator +(int left, Tensor right) => right.add(left);
        public static Tensor operator +(long left, Tensor right) => right.add(left);
        public static Tensor operator +(float left, Tensor right) => right.add(left);
        public static Tensor operator +(double left, Tensor right) => right.add(left);
        public static Tensor operator -(Tensor left, Tensor right) => left.sub(right);
        public static Tensor operator -(Tensor left, Scalar right) => left.sub(right);
        public static Tensor operator -(Scalar left, Tensor right) => Aten.RsubScalar.One(right, left, 1L);
        public static Tensor operator -(Tensor left, int right) => left.sub(right);
        public static Tensor operator -(Tensor left, long right) => left.sub(right);
        public static Tensor operator -(Tensor left, float right) => left.sub(right);
        public static Tensor operator -(Tensor left, double right) => left.sub(right);
        public static Tensor operator -(int left, Tensor right) => (Scalar)left - right;
        public static Tensor operator -(long left, Tensor right) => (Scalar)left - right;
        public static Tensor operator -(float left, Tensor right) => (Scalar)left - right;
        public static Tensor operator -(double left, Tensor right) => (Scalar)left - right;
        public static Tensor operator *(Tensor left, Tensor right) => left.mul(right);
        public static Tensor operator *(Tensor left, Scalar right) => left.mul(right);
        public static Tensor operator *(Scalar left, Tensor right) => right.mul(left);
        public static Tensor operator *(Tensor left, int right) => left.mul(right);
        public static Tensor operator *(Tensor left, long right) => left.mul(right);
        public static Tensor operator *(Tensor left, float right) => left.mul(right);
        public static Tensor operator *(Tensor left, double right) => left.mul(right);
        public static Tensor operator *(int left, Tensor right) => right.mul(left);
        public static Tensor operator *(long left, Tensor right) => right.mul(left);
        public static Tensor operator *(float left, Tensor right) => right.mul(left);
        public static Tensor operator *(double left, Tensor right) => right.mul(left);
        public static Tensor operator /(Tensor left, Tensor right) => left.div(right);
        public static Tensor operator /(Tensor left, Scalar right) => left.div(right);
        public static Tensor operator /(Scalar left, Tensor right) => Over(left, right);
        public static Tensor operator /(Tensor left, int right) => left.div(right);
        public static Tensor operator /(Tensor left, long right) => left.div(right);
        public static Tensor operator /(Tensor left, float right) => left.div(right);
        public static Tensor operator /(Tensor left, double right) => left.div(right);
        public static Tensor operator /(int left, Tensor right) => Over(left, right);
        public static Tensor operator /(long left, Tensor right) => Over(left, right);
        public static Tensor operator /(float left, Tensor right) => Over(left, right);
        public static Tensor operator /(double left, Tensor right) => Over(left, right);
        public static Tensor operator -(Tensor tensor) => tensor.neg();

        private static Tensor Over(Scalar left, Tensor right)
        {
            using var inverse = right.reciprocal();
            return inverse.mul(left);
        }

        private static Arg Mode(RoundingMode mode) => mode switch
        {
            RoundingMode.trunc => "trunc",
            RoundingMode.floor => "floor",
            _ => Arg.None,
        };
    }
}
