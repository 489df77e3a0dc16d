using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol.V1;
using Grpc.Core;
using Grant = DistTune.Protocol.V1.Grant;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about results that come twice, late, wrong, or not finite: real processes, and one worker that misbehaves.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class OddWorkerRows
{
    private const string Odd = "odd";
    private static readonly string[] ShortLease = ["--set", "distributed.lease_seconds=2"];

    [Fact]
    public async Task Late_and_duplicate_results_of_a_group_that_was_given_out_again()
    {
        await using var cluster = new FaultCluster();
        var coordinator = Start(cluster, 1, ShortLease);
        await using var odd = await OddWorker.JoinAsync(cluster.Port, Odd, slots: 2);
        var (late, kept) = await LoseALeaseAsync(cluster, odd);
        var (gradient, outcome) = await odd.ComputeAsync(late);

        Assert.Equal(PushStatus.Duplicate, (await odd.PushAsync(late, gradient, outcome)).Status);
        Assert.Equal(PushStatus.Duplicate, (await odd.PushAsync(late, gradient, outcome)).Status);
        Assert.Contains((await odd.PushTrueAsync(kept)).Status, (PushStatus[])[PushStatus.Accepted, PushStatus.Duplicate]);
        await cluster.ReachesAsync(late.Reference.Step + 1, coordinator);
        var stale = await odd.PushAsync(late, gradient, outcome);
        Assert.Equal(PushStatus.Stale, stale.Status);
        await odd.DisposeAsync();

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        TableRow.Held("result after its lease had ended and another worker had done the group", "twice a duplicate while the step was open, stale afterwards; nothing added twice; same SHA-256");
    }

    [Fact]
    public async Task A_second_result_with_another_digest()
    {
        await using var cluster = new FaultCluster();
        var coordinator = Start(cluster, 2, ShortLease);
        await using var odd = await OddWorker.JoinAsync(cluster.Port, Odd, slots: 2);
        var (late, _) = await LoseALeaseAsync(cluster, odd);
        var (gradient, outcome) = await odd.ComputeAsync(late);

        // One bit of one number, with checksums to match: only computing it again can tell.
        gradient[0] = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(gradient[0]) ^ 1);
        var answer = await odd.PushAsync(late, gradient, outcome);
        Assert.Contains("A third worker decides", answer.Reason, StringComparison.Ordinal);
        await coordinator.PrintsAsync("Worker odd is gone (shut out");
        var refused = await Assert.ThrowsAnyAsync<RpcException>(odd.RegisterAgainAsync);
        await odd.DisposeAsync();

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        Assert.Contains("was shut out", refused.Status.Detail, StringComparison.Ordinal);
        var records = cluster.History().Entries.Select(entry => entry.Record).ToList();
        Assert.Equal(Odd, Assert.Single(records.OfType<DeterminismViolated>()).SecondWorker);
        Assert.Equal(Odd, Assert.Single(records.OfType<WorkerQuarantined>()).Worker);
        TableRow.Held("second result of a group that differs in one bit, 3 workers", "the third worker decided, the liar is shut out and may not join again; same SHA-256");
    }

    [Fact]
    public async Task A_worker_that_would_not_reproduce()
    {
        await using var cluster = new FaultCluster();
        var (coordinator, workers) = cluster.Start(1);
        await FaultCluster.HoldAtAsync(2, coordinator, workers);
        var steps = cluster.History().Entries.Count;

        var refused = await Assert.ThrowsAnyAsync<RpcException>(() => OddWorker.JoinAsync(cluster.Port, Odd, slots: 1, canary => canary[..^1] + (canary[^1] == '0' ? '1' : '0')));
        Assert.Equal(steps, cluster.History().Entries.Count);
        await FaultCluster.LetGoAsync(workers);

        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        Assert.Contains("its canary of run", refused.Status.Detail, StringComparison.Ordinal);
        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        Assert.DoesNotContain("Worker odd joined", coordinator.Output, StringComparison.Ordinal);
        TableRow.Held("worker whose canary comes to other bits", "may not join, told both digests and the cure; nothing journalled; same SHA-256");
    }

    [Fact]
    public async Task NaN_of_one_worker()
    {
        await using var cluster = new FaultCluster();
        var coordinator = Start(cluster, 1);
        await using var odd = await OddWorker.JoinAsync(cluster.Port, Odd, slots: 1);
        var grant = (await odd.HoldAsync(1))[0];
        var (gradient, outcome) = await odd.ComputeAsync(grant);
        gradient[3] = float.NaN;

        var answer = await odd.PushAsync(grant, gradient, outcome);
        Assert.Equal(PushStatus.Invalid, answer.Status);
        await odd.DisposeAsync();

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        Assert.Equal(Odd, Assert.Single(cluster.History().Entries.Select(entry => entry.Record).OfType<NonFiniteFound>()).Worker);
        TableRow.Held("NaN of one worker", $"refused ({answer.Reason}), journalled, computed elsewhere; same SHA-256");
    }

    [Theory]
    [InlineData("fail", PushStatus.Fatal, 1)]
    [InlineData("skip", PushStatus.Accepted, 0)]
    public async Task NaN_that_a_second_worker_reproduces(string policy, PushStatus expected, int exitCode)
    {
        await using var cluster = new FaultCluster();
        var coordinator = cluster.StartCoordinator("--set", "distributed.min_workers=2", "--set", $"on_nonfinite={policy}");
        await using var first = await OddWorker.JoinAsync(cluster.Port, "odd-1", slots: 4);
        await using var second = await OddWorker.JoinAsync(cluster.Port, "odd-2", slots: 4);
        var grant = (await first.HoldAsync(4))[0];
        var (gradient, outcome) = await first.ComputeAsync(grant);
        gradient[3] = float.NaN;
        Assert.Equal(PushStatus.Invalid, (await first.PushAsync(grant, gradient, outcome)).Status);

        // The others are still held by the first: what the second gets is that group.
        var again = (await second.HoldAsync(1))[0];
        Assert.Equal(grant.Reference.Index, again.Reference.Index);
        (gradient, outcome) = await second.ComputeAsync(again);
        gradient[3] = float.NaN;
        var answer = await second.PushAsync(again, gradient, outcome);
        Assert.Equal(expected, answer.Status);
        await first.DisposeAsync();
        await second.DisposeAsync();
        if (policy == "skip")
        {
            cluster.StartWorker(0);
        }

        Assert.True(await coordinator.ExitCodeAsync() == exitCode, coordinator.Output);
        var records = cluster.History().Entries.Select(entry => entry.Record).ToList();
        Assert.Single(records.OfType<NonFiniteFound>());
        Assert.Equal(policy == "skip" ? 1 : 0, records.OfType<GroupDone>().Count(done => done.Skipped));
        TableRow.Held($"NaN that a second worker reproduces, on_nonfinite: {policy}", policy == "skip" ? "left out of its step, journalled; the run ends" : $"the run fails: {answer.Reason}");
    }

    [Fact]
    public async Task Results_that_cannot_be_right()
    {
        await using var cluster = new FaultCluster();
        var coordinator = Start(cluster, 1);
        await using var odd = await OddWorker.JoinAsync(cluster.Port, Odd, slots: 1);
        var reasons = new List<string>();

        // The network's damage is refused and computed again, and counts against nobody.
        await RefusedAsync((grant, gradient, outcome) => odd.PushAsync(grant, gradient, outcome, change: chunk => chunk.Crc32C ^= 4));
        await RefusedAsync((grant, gradient, outcome) => odd.PushAsync(grant, gradient, outcome, change: chunk => chunk.Offset += gradient.Length));

        // The third result that was wrong before it was sent is the last.
        await RefusedAsync((grant, gradient, outcome) => odd.PushAsync(grant, gradient, outcome with { TrainedTokens = outcome.TrainedTokens + 1 }));
        await RefusedAsync((grant, gradient, outcome) => odd.PushAsync(grant, gradient, outcome, floats: gradient.Length / 2));
        await RefusedAsync((grant, gradient, outcome) => odd.PushAsync(grant, gradient, outcome, sha256: new string('0', 64)));
        await coordinator.PrintsAsync("Worker odd is gone (shut out");
        await odd.DisposeAsync();

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        Assert.DoesNotContain(cluster.History().Entries, entry => entry.Record is GroupDone { Worker: Odd, Group.Kind: Core.Training.GroupKind.Train });
        TableRow.Held("flipped bit, part outside of the layout, wrong count, half a gradient, wrong hash", $"refused ({string.Join("; ", reasons)}), computed elsewhere, the third time shut out; same SHA-256");

        async Task RefusedAsync(Func<Grant, float[], GroupOutcome, Task<PushAck>> send)
        {
            var grant = (await odd.HoldAsync(1))[0];
            var (gradient, outcome) = await odd.ComputeAsync(grant);
            var answer = await send(grant, gradient, outcome);
            Assert.Equal(PushStatus.Invalid, answer.Status);
            reasons.Add(answer.Reason);
        }
    }

    // A coordinator that waits for the real workers and the odd one.
    private static ServiceProcess Start(FaultCluster cluster, int workers, params string[] arguments)
    {
        var coordinator = cluster.StartCoordinator(["--set", FormattableString.Invariant($"distributed.min_workers={workers + 1}"), .. arguments]);
        for (var rank = 0; rank < workers; rank++)
        {
            cluster.StartWorker(rank);
        }

        return coordinator;
    }

    // Holds two groups of a step: one until its lease has ended and somebody else has done it, the other so that the step stays open.
    private static async Task<(Grant Late, Grant Kept)> LoseALeaseAsync(FaultCluster cluster, OddWorker odd)
    {
        var held = await odd.HoldAsync(2);
        odd.Keep(held[1]);
        var late = Protocol.TrainingMapping.ToReference(held[0].Reference).Group;
        while (!cluster.History().Entries.Any(entry => entry.Record is GroupDone done && done.Group == late))
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }

        return (held[0], held[1]);
    }
}
