using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace DistTune.StandIns.Tests;

/// <summary>Counts live tensors of the whole process, so nothing else may run beside it.</summary>
[CollectionDefinition(nameof(LifetimeTests), DisableParallelization = true)]
[Collection(nameof(LifetimeTests))]
public sealed class LifetimeTests
{
    [Fact]
    public void The_live_tensor_count_is_flat_over_a_thousand_steps()
    {
        var weight = randn([8, 8], requires_grad: true);
        var x = randn([4, 8]);
        long Step()
        {
            using (NewDisposeScope())
            {
                var y = functional.silu(x.mm(weight));
                var parts = y.split(2);
                functional.softmax(cat(parts), -1)[TensorIndex.Ellipsis, 0].sum().backward();
                weight.grad!.zero_();
                weight.grad = null;
            }
            return Tensor.TotalCount;
        }
        Step();
        var before = Step();
        for (var i = 0; i < 1000; i++)
            Assert.Equal(before, Step());
        GC.KeepAlive(weight);
        GC.KeepAlive(x);
    }

    [Fact]
    public void Custom_functions_leave_nothing_alive()
    {
        long Step()
        {
            using (NewDisposeScope())
            {
                var x = ones(3, requires_grad: true);
                Kept.apply(x).sum().backward();
                Kept.apply(x);
            }
            return Tensor.TotalCount;
        }
        Step();
        var before = Step();
        for (var i = 0; i < 100; i++)
            Assert.Equal(before, Step());
    }

    [Fact]
    public void A_scope_disposes_what_was_made_in_it_and_only_that()
    {
        Tensor inner, kept, outer;
        using (var scope = NewDisposeScope())
        {
            outer = ones(1);
            using (NewDisposeScope())
            {
                inner = ones(1);
                kept = (inner + outer).MoveToOuterDisposeScope();
            }
            Assert.True(inner.IsInvalid);
            Assert.False(kept.IsInvalid);
            Assert.False(outer.IsInvalid);
            Assert.Equal(2, scope.DisposablesCount);
            kept.DetachFromDisposeScope();
        }
        Assert.True(outer.IsInvalid);
        Assert.Equal(2f, kept.item<float>());
        kept.Dispose();
        Assert.True(kept.IsInvalid);
    }

    [Fact]
    public void Scopes_belong_to_their_thread()
    {
        using var scope = NewDisposeScope();
        Tensor? elsewhere = null;
        var thread = new Thread(() => elsewhere = ones(1));
        thread.Start();
        thread.Join();
        Assert.Equal(0, scope.DisposablesCount);
        Assert.False(elsewhere!.IsInvalid);
        elsewhere.Dispose();
    }

    [Fact]
    public void The_threads_statistics_count_what_scopes_do()
    {
        var statistics = DisposeScopeManager.Statistics.TensorStatistics;
        statistics.Reset();
        using (NewDisposeScope())
        {
            var a = ones(1);
            var b = a + 1;
            b.DetachFromDisposeScope();
            Assert.Equal(2, statistics.CreatedInScopeCount);
            Assert.Equal(1, statistics.DetachedFromScopeCount);
            b.Dispose();
        }
        Assert.Equal(0, statistics.CreatedOutsideScopeCount);
        Assert.Equal(0, statistics.ThreadTotalLiveCount);
    }

    [Fact]
    public void A_forgotten_tensor_is_collected()
    {
        var before = Tensor.TotalCount;
        Forget();
        for (var i = 0; i < 10 && Tensor.TotalCount > before; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.True(Tensor.TotalCount <= before);

        static void Forget() => _ = ones(1).shape;
    }

    [Fact]
    public void A_failing_operator_says_what_libtorch_says()
    {
        using var scope = NewDisposeScope();
        var a = ones(3, 4);
        var failure = Assert.ThrowsAny<ExternalException>(() => a.mm(a));
        Assert.Contains("shapes cannot be multiplied (3x4 and 3x4)", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_disposed_tensor_is_refused()
    {
        var a = ones(1);
        a.Dispose();
        a.Dispose();
        Assert.ThrowsAny<InvalidOperationException>(() => a + 1);
    }

    private sealed class Kept : autograd.SingleTensorFunction<Kept>
    {
        public override string Name => nameof(Kept);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            var result = ((Tensor)vars[0]).exp();
            ctx.save_for_backward([result]);
            return result;
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output) =>
            [grad_output * ctx.get_saved_variables()[0]];
    }
}
