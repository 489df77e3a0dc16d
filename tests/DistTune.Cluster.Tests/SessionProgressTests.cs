using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Worker;

namespace DistTune.Cluster.Tests;

/// <summary>What a worker does with what it is told about its grants.</summary>
public sealed class SessionProgressTests
{
    private static readonly GrantReference Grant = new("wheat", new GroupKey(0, GroupKind.Train, 0), "sha", 1, 1);

    [Fact]
    public void A_grant_that_is_revoked_ends()
    {
        var progress = new SessionProgress();
        using var wanted = new CancellationTokenSource();
        progress.Hold(Grant, wanted);

        progress.Revoke(Grant);

        Assert.True(wanted.IsCancellationRequested);
    }

    [Fact]
    public void A_grant_that_is_revoked_when_its_lane_has_just_finished_it_disturbs_nobody()
    {
        var progress = new SessionProgress();
        var wanted = new CancellationTokenSource();
        progress.Hold(Grant, wanted);
        wanted.Dispose();

        progress.Revoke(Grant);
        progress.Release(Grant);
        progress.Revoke(Grant);
    }
}
