using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace DistTune.StandIns.Tests;

public sealed class AutogradTests
{
    [Fact]
    public void The_gradient_of_a_product_is_the_other_factor_transposed()
    {
        using var scope = NewDisposeScope();
        manual_seed(1);
        var a = randn([5, 7], requires_grad: true);
        var b = randn([7, 3], requires_grad: true);
        var weight = randn([5, 3]);
        a.mm(b).backward([weight]);
        using var _ = no_grad();
        Assert.True(a.grad!.allclose(weight.mm(b.t())));
        Assert.True(b.grad!.allclose(a.t().mm(weight)));
    }

    [Theory]
    [InlineData("silu")]
    [InlineData("softmax")]
    [InlineData("log_softmax")]
    [InlineData("logsumexp")]
    [InlineData("cross_entropy")]
    [InlineData("rms")]
    public void A_gradient_equals_finite_differences(string name)
    {
        using var scope = NewDisposeScope();
        manual_seed(2);
        var x = randn([4, 6], ScalarType.Float64);
        var weight = randn([4, 6], ScalarType.Float64);
        var target = tensor(new long[] { 1, 5, 0, 2 });
        Tensor Loss(Tensor input) => name switch
        {
            "silu" => (functional.silu(input) * weight).sum(),
            "softmax" => (functional.softmax(input, -1) * weight).sum(),
            "log_softmax" => (functional.log_softmax(input, -1) * weight).sum(),
            "logsumexp" => input.logsumexp(-1).sum(),
            "cross_entropy" => functional.cross_entropy(input, target, reduction: Reduction.Sum),
            _ => (input * (input.pow(2).mean([-1], keepdim: true) + 1e-6).rsqrt() * weight).sum(),
        };
        var leaf = x.clone().requires_grad_();
        Loss(leaf).backward();
        var found = leaf.grad!.data<double>().ToArray();
        const double Step = 1e-6;
        for (var i = 0; i < found.Length; i++)
        {
            using var inner = NewDisposeScope();
            var up = x.clone();
            var down = x.clone();
            up.view(-1)[i] += Step;
            down.view(-1)[i] -= Step;
            var expected = (Loss(up).ToDouble() - Loss(down).ToDouble()) / (2 * Step);
            Assert.InRange(found[i] - expected, -1e-8, 1e-8);
        }
    }

    [Fact]
    public void A_layer_recomputed_from_its_saved_input_gives_the_same_gradient_to_the_bit()
    {
        using var scope = NewDisposeScope();
        manual_seed(3);
        var x = randn([8, 16]);
        var w1 = randn([16, 16], requires_grad: true);
        var w2 = randn([16, 16], requires_grad: true);
        functional.silu(functional.silu(x.mm(w1)).mm(w2)).sum().backward();
        var (whole1, whole2) = (w1.grad!.clone(), w2.grad!.clone());
        w1.grad = null;
        w2.grad = null;

        Tensor hidden;
        using (no_grad())
            hidden = functional.silu(x.mm(w1));
        var saved = hidden.detach().requires_grad_();
        functional.silu(saved.mm(w2)).sum().backward();
        functional.silu(x.mm(w1)).backward([saved.grad!]);
        Assert.Equal(whole1.bytes.ToArray(), w1.grad!.bytes.ToArray());
        Assert.Equal(whole2.bytes.ToArray(), w2.grad!.bytes.ToArray());
    }

    [Fact]
    public void Gradients_are_asked_for_without_touching_the_leaves()
    {
        using var scope = NewDisposeScope();
        var a = tensor(new[] { 2f, 3f }, requires_grad: true);
        var unused = tensor(new[] { 1f }, requires_grad: true);
        var found = autograd.grad([(a * a).sum()], [a, unused], allow_unused: true);
        Assert.Equal([4f, 6f], found[0].data<float>().ToArray());
        Assert.Null(found[1]);
        Assert.Null(a.grad);
    }

    [Fact]
    public void Nothing_is_recorded_under_no_grad_and_inference_mode()
    {
        using var scope = NewDisposeScope();
        var a = ones(3, requires_grad: true);
        using (no_grad())
        {
            Assert.False(is_grad_enabled());
            Assert.False((a * 2).requires_grad);
            using (enable_grad())
                Assert.True((a * 2).requires_grad);
            Assert.False(is_grad_enabled());
        }
        Assert.True(is_grad_enabled());
        using (inference_mode())
        {
            Assert.True(is_inference_mode_enabled());
            Assert.False((a * 2).requires_grad);
        }
        Assert.False(is_inference_mode_enabled());
        Assert.True((a * 2).requires_grad);
        Assert.False((a * 2).is_leaf);
        Assert.True(a.is_leaf);
    }

    [Fact]
    public void A_custom_function_takes_part_in_the_graph()
    {
        using var scope = NewDisposeScope();
        var x = tensor(new[] { 1f, -2f, 3f }, requires_grad: true);
        var y = ScaledSquare.apply(x * 2, 10.0);
        (y * tensor(new[] { 1f, 10f, 100f })).sum().backward();
        Assert.Equal([40f, 160f, 360f], y.data<float>().ToArray());
        Assert.Equal([80f, -1600f, 24000f], x.grad!.data<float>().ToArray());
    }

    [Fact]
    public void What_a_custom_backward_throws_arrives_where_backward_was_called()
    {
        using var scope = NewDisposeScope();
        var x = ones(2, requires_grad: true);
        var y = Failing.apply(x).sum();
        Assert.Equal("no way back", Assert.ThrowsAny<Exception>(() => y.backward()).Message);
    }

    private sealed class ScaledSquare : autograd.SingleTensorFunction<ScaledSquare>
    {
        public override string Name => nameof(ScaledSquare);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            ctx.save_for_backward([(Tensor)vars[0]]);
            ctx.save_data("scale", vars[1]);
            return ((Tensor)vars[0]).pow(2) * (double)vars[1];
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output) =>
            [grad_output * ctx.get_saved_variables()[0] * (2 * (double)ctx.get_data("scale")), null!];
    }

    private sealed class Failing : autograd.SingleTensorFunction<Failing>
    {
        public override string Name => nameof(Failing);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars) => ((Tensor)vars[0]) * 1;

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output) =>
            throw new InvalidOperationException("no way back");
    }
}
