using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace DistTune.StandIns.Tests;

public sealed class TensorTests
{
    [Fact]
    public void Bfloat16_rounds_to_nearest_even_as_libtorch_does()
    {
        using var scope = NewDisposeScope();
        manual_seed(4);
        var single = cat([randn(4096), randn(64) * 1e38, randn(64) * 1e-40, tensor(new[] { 0f, -0f, 1.00390625f, 1.01171875f, float.PositiveInfinity, 3.4e38f })]);
        var values = single.data<float>().ToArray();
        var half = single.to_type(ScalarType.BFloat16);
        Assert.Equal(2, half.ElementSize);
        Assert.Equal(half.data<BFloat16>().ToArray(), Array.ConvertAll(values, value => new BFloat16(value)));
        var back = half.to_type(ScalarType.Float32);
        Assert.Equal(back.data<float>().ToArray(), Array.ConvertAll(values, value => new BFloat16(value).ToSingle()));
        Assert.Equal(half.bytes.ToArray(), back.bfloat16().bytes.ToArray());
        Assert.True(float.IsNaN(new BFloat16(float.NaN).ToSingle()));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Attention_equals_its_definition(bool causal, bool masked)
    {
        using var scope = NewDisposeScope();
        manual_seed(5);
        const int Time = 6, Width = 8;
        var query = randn([2, 3, Time, Width], requires_grad: true);
        var key = randn([2, 3, Time, Width], requires_grad: true);
        var value = randn([2, 3, Time, Width], requires_grad: true);
        var mask = masked ? randn(Time, Time).gt(-1).logical_or(eye(Time)) : null;
        var found = functional.scaled_dot_product_attention(query, key, value, mask, is_casual: causal);

        var scores = query.matmul(key.transpose(2, 3)) / Math.Sqrt(Width);
        var allowed = causal ? ones(Time, Time, ScalarType.Bool).tril() : mask ?? ones(Time, Time, ScalarType.Bool);
        scores = scores + zeros(Time, Time).masked_fill(allowed.logical_not(), float.NegativeInfinity);
        var expected = scores.softmax(-1).matmul(value);
        Assert.True(found.allclose(expected, 1e-5, 1e-6));

        var weight = randn_like(expected);
        var grads = autograd.grad([found], [query, key, value], [weight]);
        var expectedGrads = autograd.grad([expected], [query, key, value], [weight]);
        for (var i = 0; i < 3; i++)
            Assert.True(grads[i].allclose(expectedGrads[i], 1e-4, 1e-5));

        static Tensor eye(long n) => ones(n, n, ScalarType.Bool).tril().logical_and(ones(n, n, ScalarType.Bool).triu());
    }

    [Fact]
    public void Indices_select_what_they_say()
    {
        using var scope = NewDisposeScope();
        var a = arange(24, ScalarType.Float32).view(2, 3, 4);
        Assert.Equal([20f, 21f, 22f, 23f], Read(a[1, 2]));
        Assert.Equal(23f, a[1, 2, 3].item<float>());
        Assert.Equal([1f, 2f, 13f, 14f], Read(a[.., 0, 1..3]));
        Assert.Equal([3f, 7f, 11f, 15f, 19f, 23f], Read(a[TensorIndex.Ellipsis, -1]));
        Assert.Equal([2L, 1, 3, 4], a[TensorIndex.Colon, TensorIndex.None].shape);
        Assert.Equal([16f, 12f], Read(a[1, TensorIndex.Tensor(tensor(new long[] { 1, 0 })), 0]));
        Assert.Equal([2L, 2, 4], a[TensorIndex.Colon, TensorIndex.Tensor(tensor(new long[] { 2, 0 }))].shape);
        Assert.Equal([22f, 23f], Read(a[a.gt(21)]));
        Assert.Equal([0f, 2f], Read(a[0, 0, TensorIndex.Slice(0, null, 2)]));
    }

    [Fact]
    public void Assigning_to_an_index_writes_there()
    {
        using var scope = NewDisposeScope();
        var a = zeros(2, 3);
        a[0, 1] = tensor(5f);
        a[1] = tensor(new[] { 1f, 2f, 3f });
        a[TensorIndex.Colon, 2..] = full([2, 1], 9f);
        a[tensor(new long[] { 0 }), tensor(new long[] { 0 })] = tensor(7f);
        Assert.Equal([7f, 5f, 9f, 1f, 2f, 9f], Read(a));
    }

    [Fact]
    public void Shapes_are_taken_apart_and_put_together()
    {
        using var scope = NewDisposeScope();
        var a = arange(12, ScalarType.Float32).reshape(3, 4);
        Assert.Equal([4L, 3], a.t().shape);
        Assert.False(a.t().is_contiguous());
        Assert.Equal([0f, 4f, 8f, 1f], Read(a.t())[..4]);
        Assert.Equal([1L, 4], a.t().stride());
        Assert.Equal(Read(a), Read(cat(a.split([1, 2], 0))));
        Assert.Equal(2, a.chunk(2).Length);
        Assert.Equal([3L, 2, 2], a.unflatten(1, 2, 2).shape);
        Assert.Equal([2L, 3, 4], stack([a, a]).shape);
        Assert.Equal([2L, 3, 4], a.unsqueeze(0).expand(2, -1, -1).shape);
        Assert.Equal([0f, 0f, 1f, 1f], Read(a[0].repeat_interleave(2))[..4]);
        Assert.Equal([8f, 9f, 0f, 1f], Read(a.index_select(0, tensor(new long[] { 2, 0 }))[TensorIndex.Colon, ..2]));
        Assert.Equal(4, a.size(-1));
        Assert.Equal(12, a.numel());
    }

    [Fact]
    public void Scalars_keep_the_tensors_type()
    {
        using var scope = NewDisposeScope();
        var whole = tensor(new long[] { 1, 2 });
        Assert.Equal(ScalarType.Int64, (whole + 1).dtype);
        Assert.Equal(ScalarType.Float32, (whole * 0.5).dtype);
        Assert.Equal([1f, 0.5f], Read(1 / whole.to_type(ScalarType.Float32)));
        Assert.Equal([2f, 1f], Read(3 - whole.to_type(ScalarType.Float32)));
        Assert.Equal(ScalarType.BFloat16, (ones(2, ScalarType.BFloat16) * 0.5).dtype);
    }

    [Fact]
    public void Memory_is_shared_with_views_and_copied_from_arrays()
    {
        using var scope = NewDisposeScope();
        var array = new[] { 1f, 2f, 3f, 4f };
        var a = tensor(array, [2, 2]);
        array[0] = 100;
        Assert.Equal(1f, a[0, 0].item<float>());
        a.bytes.Clear();
        a.view(4)[3] += 1;
        Assert.Equal([0f, 0f, 0f, 1f], Read(a));
        a.data<float>()[0, 1] = 6;
        Assert.Equal([0f, 0f, 6f, 1f], Read(a.t()));
        Assert.Equal([2L, 2], tensor(new float[,] { { 1, 2 }, { 3, 4 } }).shape);
        Assert.ThrowsAny<ArgumentException>(() => a.data<long>());
    }

    [Fact]
    public void Reductions_and_orderings_agree_with_arithmetic()
    {
        using var scope = NewDisposeScope();
        var a = tensor(new[] { 3f, 1f, 2f, 6f, 5f, 4f }, [2, 3]);
        Assert.Equal(21f, a.sum().ToSingle());
        Assert.Equal([6f, 15f], Read(a.sum(1)));
        Assert.Equal([4.5f, 3f, 3f], Read(a.mean([0])));
        Assert.Equal([3f, 6f], Read(a.max(1).values));
        Assert.Equal([0L, 0L], a.argmax(1).data<long>().ToArray());
        Assert.Equal([6f, 5f], Read(a.view(6).topk(2).values));
        Assert.Equal([1f, 2f, 3f], Read(a[0].sort().Values));
        Assert.Equal([3f, 4f, 6f], Read(a[0].cumsum(0)));
        Assert.Equal(MathF.Sqrt(91), a.norm().ToSingle(), 5);
        Assert.True(a.isfinite().all().ToBoolean());
        Assert.Equal([3f, 1f, 2f, 9f, 9f, 9f], Read(a.masked_fill(a.gt(3), 9)));
        Assert.Equal([2f, 1f, 2f, 4f, 4f, 4f], Read(a.clamp(1, 4).index_add(0, tensor(new long[] { 0 }), tensor(new[] { -1f, 0f, 0f }, [1, 3]), 1)));
    }

    private static float[] Read(Tensor tensor) => tensor.data<float>().ToArray();
}
