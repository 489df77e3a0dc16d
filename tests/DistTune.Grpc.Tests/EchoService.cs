using DistTune.Grpc.Tests.Peers;
using Grpc.Core;

namespace DistTune.Grpc.Tests;

/// <summary>The service of echo.proto.</summary>
internal sealed class EchoService : Echo.EchoBase
{
    public override Task<Blob> Unary(Blob request, ServerCallContext context)
    {
        foreach (var entry in context.RequestHeaders.Where(entry => entry.Key.StartsWith("x-", StringComparison.Ordinal)))
        {
            context.ResponseTrailers.Add(entry);
        }

        return Task.FromResult(request);
    }

    public override async Task<Blob> Collect(IAsyncStreamReader<Blob> requestStream, ServerCallContext context)
    {
        var all = new MemoryStream();
        await foreach (var message in requestStream.ReadAllAsync(context.CancellationToken))
        {
            message.Data.WriteTo(all);
        }

        return new Blob { Data = Google.Protobuf.ByteString.CopyFrom(all.ToArray()) };
    }

    public override async Task Repeat(Blob request, IServerStreamWriter<Blob> responseStream, ServerCallContext context)
    {
        for (var i = 0; i < request.Count; i++)
        {
            await responseStream.WriteAsync(new Blob { Data = request.Data }, context.CancellationToken);
        }
    }

    public override async Task Chat(IAsyncStreamReader<Blob> requestStream, IServerStreamWriter<Blob> responseStream, ServerCallContext context)
    {
        await foreach (var message in requestStream.ReadAllAsync(context.CancellationToken))
        {
            await responseStream.WriteAsync(message, context.CancellationToken);
        }
    }

    public override Task<Blob> Fail(Blob request, ServerCallContext context) =>
        throw new RpcException(new Status(StatusCode.FailedPrecondition, "olmadı: %100"), new Metadata { { "x-why", "because" } });

    public override async Task<Blob> Sleep(Blob request, ServerCallContext context)
    {
        await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
        return request;
    }
}
