using System.Diagnostics;
using DistTune.Grpc.Tests.Peers;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTune.Grpc.Tests;

/// <summary>The stand-ins against gRPC implementations of others, in both directions, and against each other.</summary>
public sealed class InteroperabilityTests
{
    private const int Big = 64 * 1024 * 1024;

    [Theory]
    [InlineData("python", 10)]
    [InlineData("node", 9)]
    public async Task Server_TriedByAPeersClient_KeepsTheProtocol(string language, int checks)
    {
        Assert.SkipWhen(Peer.Missing(language) is not null, Peer.Missing(language) ?? "");
        await using var server = await EchoServer.StartAsync(options => options.MaxReceiveMessageSize = Big + 1024);

        var (exitCode, output) = await Peer.CheckAsync(language, server.Port);

        Assert.True(exitCode == 0, output);
        Assert.Equal(checks, output.Split('\n').Count(line => line.StartsWith("ok ", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("python")]
    [InlineData("node")]
    public async Task Client_CallingAPeersServer_KeepsTheProtocol(string language)
    {
        Assert.SkipWhen(Peer.Missing(language) is not null, Peer.Missing(language) ?? "");
        using var peer = await Peer.ServeAsync(language);

        await CheckAsync($"http://127.0.0.1:{peer.Port}");
    }

    [Fact]
    public async Task Client_CallingTheStandInServer_KeepsTheProtocol()
    {
        await using var server = await EchoServer.StartAsync(options => options.MaxReceiveMessageSize = Big + 1024);

        await CheckAsync(server.Address);
    }

    [Fact]
    public async Task Server_MessageAboveTheDefaultLimit_IsRefused()
    {
        await using var server = await EchoServer.StartAsync(_ => { });
        using var channel = GrpcChannel.ForAddress(server.Address);

        var refused = await Assert.ThrowsAsync<RpcException>(async () => await new Echo.EchoClient(channel).UnaryAsync(Filled((4 * 1024 * 1024) + 1)));

        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
    }

    [Fact]
    public async Task Client_NobodyListens_IsUnavailable()
    {
        using var channel = GrpcChannel.ForAddress("http://127.0.0.1:1");

        var failure = await Assert.ThrowsAsync<RpcException>(async () => await new Echo.EchoClient(channel).UnaryAsync(new Blob()));

        Assert.Equal(StatusCode.Unavailable, failure.StatusCode);
    }

    private static async Task CheckAsync(string address)
    {
        using var channel = GrpcChannel.ForAddress(address, new GrpcChannelOptions { MaxReceiveMessageSize = Big + 1024 });
        var client = new Echo.EchoClient(channel);
        var soon = DateTime.UtcNow.AddSeconds(60);

        var unary = client.UnaryAsync(Text("merhaba"), new Metadata { { "x-text", "tarla" }, { "x-raw-bin", [0, 255, 16] } }, soon);
        Assert.Equal("merhaba", (await unary).Data.ToStringUtf8());
        Assert.Equal("tarla", unary.GetTrailers().GetValue("x-text"));
        Assert.Equal([0, 255, 16], unary.GetTrailers().GetValueBytes("x-raw-bin")!);

        using (var collect = client.Collect(deadline: soon))
        {
            foreach (var part in new[] { "a", "b", "c" })
            {
                await collect.RequestStream.WriteAsync(Text(part));
            }

            await collect.RequestStream.CompleteAsync();
            Assert.Equal("abc", (await collect).Data.ToStringUtf8());
        }

        using (var repeat = client.Repeat(new Blob { Data = ByteString.CopyFromUtf8("x"), Count = 5 }, deadline: soon))
        {
            var count = 0;
            await foreach (var message in repeat.ResponseStream.ReadAllAsync())
            {
                count += message.Data.Length;
            }

            Assert.Equal((5, StatusCode.OK), (count, repeat.GetStatus().StatusCode));
        }

        using (var chat = client.Chat(deadline: soon))
        {
            foreach (var part in new[] { "1", "2" })
            {
                // Each answer is awaited before the next question: both directions are open at once.
                await chat.RequestStream.WriteAsync(Text(part));
                Assert.True(await chat.ResponseStream.MoveNext(CancellationToken.None));
                Assert.Equal(part, chat.ResponseStream.Current.Data.ToStringUtf8());
            }

            await chat.RequestStream.CompleteAsync();
            Assert.False(await chat.ResponseStream.MoveNext(CancellationToken.None));
        }

        var failed = await Assert.ThrowsAsync<RpcException>(async () => await client.FailAsync(new Blob(), deadline: soon));
        Assert.Equal((StatusCode.FailedPrecondition, "olmadı: %100", "because"), (failed.StatusCode, failed.Status.Detail, failed.Trailers.GetValue("x-why")));

        var late = await Assert.ThrowsAsync<RpcException>(async () => await client.SleepAsync(new Blob(), deadline: DateTime.UtcNow.AddMilliseconds(300)));
        Assert.Equal(StatusCode.DeadlineExceeded, late.StatusCode);

        using var giveUp = new CancellationTokenSource(300);
        var watch = Stopwatch.StartNew();
        var cancelled = await Assert.ThrowsAsync<RpcException>(async () => await client.SleepAsync(new Blob(), deadline: soon, cancellationToken: giveUp.Token));
        Assert.Equal(StatusCode.Cancelled, cancelled.StatusCode);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"cancelling took {watch.Elapsed}");

        var big = Filled(Big);
        Assert.Equal(big, await client.UnaryAsync(big, deadline: soon));
    }

    private static Blob Text(string text) => new() { Data = ByteString.CopyFromUtf8(text) };

    private static Blob Filled(int length)
    {
        var bytes = new byte[length];
        for (var i = 0; i < bytes.Length; i++)
        {
            bytes[i] = (byte)(i * 31);
        }

        return new Blob { Data = UnsafeByteOperations.UnsafeWrap(bytes) };
    }
}
