using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using DistTune.Core.Access;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Somebody who calls a coordinator by hand, from an address of this machine and with whatever shows who it is.</summary>
internal sealed class Caller : IDisposable
{
    private readonly GrpcChannel _channel;

    /// <param name="port">The coordinator's.</param>
    /// <param name="from">Last number of the own address, 127.0.0.x: refusals are counted by address.</param>
    /// <param name="tls">What is trusted and shown; null speaks without TLS.</param>
    public Caller(int port, int from, CertificateFiles? tls = null)
    {
        var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                socket.Bind(new IPEndPoint(new IPAddress([127, 0, 0, (byte)from]), 0));
                await socket.ConnectAsync(IPAddress.Loopback, context.DnsEndPoint.Port, cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        if (tls is not null)
        {
            handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = tls.Policy(server: true), LocalCertificateSelectionCallback = (_, _, _, _, _) => tls.Certificate! };
        }

        _channel = GrpcChannel.ForAddress(
            FormattableString.Invariant($"{(tls is null ? "http" : "https")}://localhost:{port}"), new GrpcChannelOptions { DisposeHttpClient = true, HttpHandler = handler });
        Training = new Training.TrainingClient(_channel);
        Admin = new Admin.AdminClient(_channel);
    }

    public Training.TrainingClient Training { get; }

    public Admin.AdminClient Admin { get; }

    /// <summary>A registration that would be taken from a worker.</summary>
    public static RegisterRequest Registration => new()
    {
        Worker = "stranger",
        Slots = 1,
        Fingerprint = TrainingMapping.ToMessage(WorkerFingerprint.Of("none", new string('0', 64))),
    };

    public static Metadata Bearer(string token) => new() { { "authorization", $"Bearer {token}" } };

    /// <summary>How a call ends.</summary>
    public static async Task<StatusCode> StatusOfAsync<T>(AsyncUnaryCall<T> call)
    {
        using (call)
        {
            try
            {
                await call;
                return StatusCode.OK;
            }
            catch (RpcException answer)
            {
                return answer.StatusCode;
            }
        }
    }

    public void Dispose() => _channel.Dispose();
}
