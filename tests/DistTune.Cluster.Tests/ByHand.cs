using DistTune.Engine.Tests;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Cluster.Tests;

/// <summary>A worker whose calls a test makes one by one.</summary>
internal static class ByHand
{
    public static RegisterRequest Registration() => new()
    {
        Worker = "by-hand",
        Slots = 1,
        Fingerprint = TrainingMapping.ToMessage(FakePlan.Fingerprint(library: "fake 1")),
    };

    /// <summary>Registers and opens the session, which stays open until the client's channel is closed.</summary>
    /// <returns>The session's id.</returns>
    public static async Task<string> JoinAsync(Training.TrainingClient client, RegisterRequest registration, Metadata headers)
    {
        var session = (await client.RegisterAsync(registration, headers)).SessionId;
        var link = client.Session(headers);
        await link.RequestStream.WriteAsync(new SessionReport { SessionId = session });
        Assert.True(await link.ResponseStream.MoveNext(TestContext.Current.CancellationToken));
        return session;
    }
}
