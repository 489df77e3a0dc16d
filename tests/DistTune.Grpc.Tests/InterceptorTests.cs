using DistTune.Grpc.Tests.Peers;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;

namespace DistTune.Grpc.Tests;

public sealed class InterceptorTests
{
    [Fact]
    public async Task ServerInterceptor_ThatThrows_KeepsEveryKindOfCallFromTheHandler()
    {
        await using var server = await EchoServer.StartAsync(options => options.Interceptors.Add<Doorkeeper>());
        using var channel = GrpcChannel.ForAddress(server.Address);
        var client = new Echo.EchoClient(channel);

        Assert.Equal(StatusCode.Unauthenticated, (await Assert.ThrowsAsync<RpcException>(async () => await client.UnaryAsync(new Blob()))).StatusCode);
        Assert.Equal(StatusCode.Unauthenticated, (await Assert.ThrowsAsync<RpcException>(async () => await client.Repeat(new Blob()).ResponseStream.MoveNext())).StatusCode);
        Assert.Equal(StatusCode.Unauthenticated, (await Assert.ThrowsAsync<RpcException>(async () => await client.Collect())).StatusCode);
        Assert.Equal(StatusCode.Unauthenticated, (await Assert.ThrowsAsync<RpcException>(async () => await client.Chat().ResponseStream.MoveNext())).StatusCode);
    }

    [Fact]
    public async Task ClientInterceptor_AddingAHeader_ReachesTheServer()
    {
        await using var server = await EchoServer.StartAsync(options => options.Interceptors.Add<Doorkeeper>());
        using var channel = GrpcChannel.ForAddress(server.Address);
        var client = new Echo.EchoClient(channel.CreateCallInvoker().Intercept(new KeyBearer()));

        Assert.Equal(new Blob { Count = 3 }, await client.UnaryAsync(new Blob { Count = 3 }));
    }

    private sealed class KeyBearer : Interceptor
    {
        public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncUnaryCallContinuation<TRequest, TResponse> continuation) =>
            continuation(request, new ClientInterceptorContext<TRequest, TResponse>(context.Method, context.Host, context.Options.WithHeaders(new Metadata { { "key", "open" } })));
    }

    private sealed class Doorkeeper : Interceptor
    {
        public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
        {
            Check(context);
            return continuation(request, context);
        }

        public override Task ServerStreamingServerHandler<TRequest, TResponse>(TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation)
        {
            Check(context);
            return continuation(request, responseStream, context);
        }

        public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(IAsyncStreamReader<TRequest> requestStream, ServerCallContext context, ClientStreamingServerMethod<TRequest, TResponse> continuation)
        {
            Check(context);
            return continuation(requestStream, context);
        }

        public override Task DuplexStreamingServerHandler<TRequest, TResponse>(IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation)
        {
            Check(context);
            return continuation(requestStream, responseStream, context);
        }

        private static void Check(ServerCallContext context)
        {
            if (context.RequestHeaders.GetValue("key") != "open")
            {
                throw new RpcException(new Status(StatusCode.Unauthenticated, "no key"));
            }
        }
    }
}
