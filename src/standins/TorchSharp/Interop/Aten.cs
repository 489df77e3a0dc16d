namespace TorchSharp.Interop;

/// <summary>The operators that the members call: ATen's name and overload each.</summary>
internal static class Aten
{
    // Products
    internal static readonly Op Mm = new("mm");
    internal static readonly Op Bmm = new("bmm");
    internal static readonly Op Matmul = new("matmul");
    internal static readonly Op Addmm = new("addmm");
    internal static readonly Op AddmmInPlace = new("addmm_");
    internal static readonly Op Baddbmm = new("baddbmm");
    internal static readonly Op Dot = new("dot");
    internal static readonly Op Mv = new("mv");
    internal static readonly Op Outer = new("outer");
    internal static readonly Op Linear = new("linear");
    internal static readonly Op Einsum = new("einsum");
    internal static readonly Op Conv1d = new("conv1d");
    internal static readonly Op Conv2d = new("conv2d");
    internal static readonly Op Conv3d = new("conv3d");

    // Shapes and views
    internal static readonly Op T = new("t");
    internal static readonly Op Transpose = new("transpose", "int");
    internal static readonly Op TransposeInPlace = new("transpose_");
    internal static readonly Op Permute = new("permute");
    internal static readonly Op View = new("view");
    internal static readonly Op Reshape = new("reshape");
    internal static readonly Op Contiguous = new("contiguous");
    internal static readonly Op Slice = new("slice", "Tensor");
    internal static readonly Op Narrow = new("narrow");
    internal static readonly Op Select = new("select", "int");
    internal static readonly Op Expand = new("expand");
    internal static readonly Op Repeat = new("repeat");
    internal static readonly Op Unsqueeze = new("unsqueeze");
    internal static readonly Op Squeeze = new("squeeze");
    internal static readonly Op SqueezeDim = new("squeeze", "dim");
    internal static readonly Op Flatten = new("flatten", "using_ints");
    internal static readonly Op Split = new("split", "Tensor");
    internal static readonly Op SplitSizes = new("split_with_sizes");
    internal static readonly Op Chunk = new("chunk");
    internal static readonly Op Unbind = new("unbind", "int");
    internal static readonly Op Cat = new("cat");
    internal static readonly Op Stack = new("stack");
    internal static readonly Op Alias = new("alias");
    internal static readonly Op Clone = new("clone");
    internal static readonly Op Detach = new("detach");
    internal static readonly Op DetachInPlace = new("detach_");
    internal static readonly Op ToDtype = new("to", "dtype");
    internal static readonly Op ToDevice = new("to", "device");
    internal static readonly Op RepeatInterleaveInt = new("repeat_interleave", "self_int");
    internal static readonly Op RepeatInterleave = new("repeat_interleave", "self_Tensor");

    // Gathering and scattering
    internal static readonly Op Index = new("index", "Tensor");
    internal static readonly Op IndexPut = new("index_put_");
    internal static readonly Op IndexSelect = new("index_select");
    internal static readonly Op IndexAdd = new("index_add");
    internal static readonly Op IndexAddInPlace = new("index_add_");
    internal static readonly Op IndexCopyInPlace = new("index_copy_");
    internal static readonly Op Gather = new("gather");
    internal static readonly Op Scatter = new("scatter", "src");
    internal static readonly Op ScatterInPlace = new("scatter_", "src");
    internal static readonly Op ScatterAddInPlace = new("scatter_add_");
    internal static readonly Op MaskedFill = new("masked_fill", "Scalar");
    internal static readonly Op MaskedFillInPlace = new("masked_fill_", "Scalar");
    internal static readonly Op MaskedSelect = new("masked_select");
    internal static readonly Op Where = new("where", "self");
    internal static readonly Op Nonzero = new("nonzero");

    // Arithmetic
    internal static readonly Op Add = new("add", "Tensor");
    internal static readonly Op AddScalar = new("add", "Scalar");
    internal static readonly Op AddInPlace = new("add_", "Tensor");
    internal static readonly Op AddScalarInPlace = new("add_", "Scalar");
    internal static readonly Op Sub = new("sub", "Tensor");
    internal static readonly Op SubScalar = new("sub", "Scalar");
    internal static readonly Op SubInPlace = new("sub_", "Tensor");
    internal static readonly Op SubScalarInPlace = new("sub_", "Scalar");
    internal static readonly Op RsubScalar = new("rsub", "Scalar");
    internal static readonly Op Mul = new("mul", "Tensor");
    internal static readonly Op MulScalar = new("mul", "Scalar");
    internal static readonly Op MulInPlace = new("mul_", "Tensor");
    internal static readonly Op MulScalarInPlace = new("mul_", "Scalar");
    internal static readonly Op Div = new("div", "Tensor_mode");
    internal static readonly Op DivScalar = new("div", "Scalar_mode");
    internal static readonly Op DivInPlace = new("div_", "Tensor_mode");
    internal static readonly Op DivScalarInPlace = new("div_", "Scalar_mode");
    internal static readonly Op Pow = new("pow", "Tensor_Tensor");
    internal static readonly Op PowScalar = new("pow", "Tensor_Scalar");
    internal static readonly Op Addcmul = new("addcmul");
    internal static readonly Op AddcmulInPlace = new("addcmul_");
    internal static readonly Op Remainder = new("remainder", "Tensor");
    internal static readonly Op RemainderScalar = new("remainder", "Scalar");

    // One argument, element by element
    internal static readonly Op Neg = new("neg");
    internal static readonly Op NegInPlace = new("neg_");
    internal static readonly Op Exp = new("exp");
    internal static readonly Op ExpInPlace = new("exp_");
    internal static readonly Op Log = new("log");
    internal static readonly Op Sqrt = new("sqrt");
    internal static readonly Op Rsqrt = new("rsqrt");
    internal static readonly Op Square = new("square");
    internal static readonly Op Reciprocal = new("reciprocal");
    internal static readonly Op Sin = new("sin");
    internal static readonly Op Cos = new("cos");
    internal static readonly Op Tanh = new("tanh");
    internal static readonly Op Erf = new("erf");
    internal static readonly Op TanhInPlace = new("tanh_");
    internal static readonly Op Sigmoid = new("sigmoid");
    internal static readonly Op Silu = new("silu");
    internal static readonly Op SiluInPlace = new("silu_");
    internal static readonly Op Relu = new("relu");
    internal static readonly Op ReluInPlace = new("relu_");
    internal static readonly Op Gelu = new("gelu");
    internal static readonly Op Softplus = new("softplus");
    internal static readonly Op Dropout = new("dropout");
    internal static readonly Op Abs = new("abs");
    internal static readonly Op Sign = new("sign");
    internal static readonly Op Floor = new("floor");
    internal static readonly Op Round = new("round", "decimals");
    internal static readonly Op Clamp = new("clamp");
    internal static readonly Op ClampInPlace = new("clamp_");
    internal static readonly Op ClampTensor = new("clamp", "Tensor");
    internal static readonly Op Tril = new("tril");
    internal static readonly Op Triu = new("triu");

    // Comparison and logic
    internal static readonly Op Eq = new("eq", "Tensor");
    internal static readonly Op EqScalar = new("eq", "Scalar");
    internal static readonly Op Ne = new("ne", "Tensor");
    internal static readonly Op NeScalar = new("ne", "Scalar");
    internal static readonly Op Lt = new("lt", "Tensor");
    internal static readonly Op LtScalar = new("lt", "Scalar");
    internal static readonly Op Le = new("le", "Tensor");
    internal static readonly Op LeScalar = new("le", "Scalar");
    internal static readonly Op Gt = new("gt", "Tensor");
    internal static readonly Op GtScalar = new("gt", "Scalar");
    internal static readonly Op Ge = new("ge", "Tensor");
    internal static readonly Op GeScalar = new("ge", "Scalar");
    internal static readonly Op Equal = new("equal");
    internal static readonly Op Allclose = new("allclose");
    internal static readonly Op Isclose = new("isclose");
    internal static readonly Op Isfinite = new("isfinite");
    internal static readonly Op Isnan = new("isnan");
    internal static readonly Op Isinf = new("isinf");
    internal static readonly Op LogicalNot = new("logical_not");
    internal static readonly Op LogicalAnd = new("logical_and");
    internal static readonly Op LogicalOr = new("logical_or");
    internal static readonly Op BitwiseAnd = new("bitwise_and", "Tensor");
    internal static readonly Op BitwiseOr = new("bitwise_or", "Tensor");
    internal static readonly Op BitwiseNot = new("bitwise_not");

    // Reductions
    internal static readonly Op Sum = new("sum");
    internal static readonly Op SumDims = new("sum", "dim_IntList");
    internal static readonly Op Mean = new("mean");
    internal static readonly Op MeanDims = new("mean", "dim");
    internal static readonly Op Prod = new("prod");
    internal static readonly Op Max = new("max");
    internal static readonly Op MaxDim = new("max", "dim");
    internal static readonly Op Min = new("min");
    internal static readonly Op MinDim = new("min", "dim");
    internal static readonly Op Maximum = new("maximum");
    internal static readonly Op Minimum = new("minimum");
    internal static readonly Op Amax = new("amax");
    internal static readonly Op Argmax = new("argmax");
    internal static readonly Op Argmin = new("argmin");
    internal static readonly Op All = new("all");
    internal static readonly Op AllDim = new("all", "dim");
    internal static readonly Op Any = new("any");
    internal static readonly Op AnyDim = new("any", "dim");
    internal static readonly Op Norm = new("norm", "Scalar");
    internal static readonly Op NormDims = new("norm", "ScalarOpt_dim");
    internal static readonly Op Var = new("var");
    internal static readonly Op VarDims = new("var", "dim");
    internal static readonly Op Std = new("std");
    internal static readonly Op StdDims = new("std", "dim");
    internal static readonly Op Logsumexp = new("logsumexp");
    internal static readonly Op Softmax = new("softmax", "int");
    internal static readonly Op LogSoftmax = new("log_softmax", "int");
    internal static readonly Op CrossEntropy = new("cross_entropy_loss");
    internal static readonly Op Cumsum = new("cumsum");
    internal static readonly Op Topk = new("topk");
    internal static readonly Op Sort = new("sort", "stable");
    internal static readonly Op Argsort = new("argsort");
    internal static readonly Op Multinomial = new("multinomial");

    // Creation and filling
    internal static readonly Op Empty = new("empty", "memory_format");
    internal static readonly Op Zeros = new("zeros");
    internal static readonly Op Ones = new("ones");
    internal static readonly Op Full = new("full");
    internal static readonly Op Arange = new("arange", "start_step");
    internal static readonly Op Rand = new("rand");
    internal static readonly Op Randn = new("randn");
    internal static readonly Op Randint = new("randint", "low");
    internal static readonly Op Randperm = new("randperm");
    internal static readonly Op ZerosLike = new("zeros_like");
    internal static readonly Op OnesLike = new("ones_like");
    internal static readonly Op EmptyLike = new("empty_like");
    internal static readonly Op FullLike = new("full_like");
    internal static readonly Op RandLike = new("rand_like");
    internal static readonly Op RandnLike = new("randn_like");
    internal static readonly Op CopyInPlace = new("copy_");
    internal static readonly Op FillInPlace = new("fill_", "Scalar");
    internal static readonly Op ZeroInPlace = new("zero_");
}
