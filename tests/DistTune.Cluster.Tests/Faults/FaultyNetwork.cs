using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>
/// A relay between a worker and its coordinator that delays what it carries and resets connections at a moment of the test's choice.
/// What happens to packets below TCP is <see cref="Network.PacketNetwork"/>'s.
/// </summary>
internal sealed class FaultyNetwork : IAsyncDisposable
{
    private const int PieceBytes = 16 * 1024;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _ended = new();
    private readonly Lock _gate = new();
    private readonly List<TcpClient> _open = [];
    private readonly Task _accepting;
    private long _sentBytes;
    private long _answeredBytes;

    public FaultyNetwork(int target)
    {
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _accepting = AcceptAsync(target);
    }

    public int Port { get; }

    /// <summary>How long every piece is under way.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>Bytes a second in each direction; 0 is unlimited.</summary>
    public int BytesPerSecond { get; init; }

    /// <summary>Bytes that the worker has sent so far, whether they arrived or not.</summary>
    public long SentBytes => Interlocked.Read(ref _sentBytes);

    /// <summary>Bytes of the coordinator's answers so far, whether they arrived or not.</summary>
    public long AnsweredBytes => Interlocked.Read(ref _answeredBytes);

    /// <summary>Cuts every connection in the middle of whatever it carries.</summary>
    public void CutAll()
    {
        lock (_gate)
        {
            foreach (var client in _open)
            {
                try
                {
                    // With a reset instead of an orderly end; there is no socket any more where the connection ended by itself.
                    if (client.Client is { } socket)
                    {
                        socket.LingerState = new LingerOption(enable: true, 0);
                    }
                }
                catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
                {
                    // It ends at this very moment.
                }

                client.Close();
            }

            _open.Clear();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        _listener.Stop();
        CutAll();
        await _accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _ended.Dispose();
        _listener.Dispose();
    }

    private async Task AcceptAsync(int target)
    {
        while (true)
        {
            var near = await _listener.AcceptTcpClientAsync(_ended.Token);
            var far = new TcpClient();
            lock (_gate)
            {
                _open.AddRange([near, far]);
            }

            _ = ConnectAsync(near, far, target);
        }
    }

    // Its end, however it comes, is the end of the connection: nothing is to be observed.
    private async Task ConnectAsync(TcpClient near, TcpClient far, int target)
    {
        try
        {
            await far.ConnectAsync(IPAddress.Loopback, target, _ended.Token);
            await Task.WhenAny(CarryAsync(near, far, answers: false), CarryAsync(far, near, answers: true));
        }
        catch (Exception fault) when (fault is IOException or SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The coordinator is away, or the connection was cut.
        }

        near.Close();
        far.Close();
    }

    private async Task CarryAsync(TcpClient from, TcpClient to, bool answers)
    {
        var underWay = Channel.CreateBounded<(byte[] Piece, long Due)>(64);
        var receiving = ReceiveAsync(from.GetStream(), underWay.Writer, answers);
        var outbound = to.GetStream();
        await foreach (var (piece, due) in underWay.Reader.ReadAllAsync(_ended.Token))
        {
            var wait = TimeSpan.FromMilliseconds(due - Environment.TickCount64);
            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, _ended.Token);
            }

            if (BytesPerSecond > 0)
            {
                await Task.Delay(TimeSpan.FromSeconds((double)piece.Length / BytesPerSecond), _ended.Token);
            }

            await outbound.WriteAsync(piece, _ended.Token);
        }

        await receiving;
    }

    private async Task ReceiveAsync(NetworkStream stream, ChannelWriter<(byte[] Piece, long Due)> underWay, bool answers)
    {
        var buffer = new byte[PieceBytes];
        try
        {
            while (await stream.ReadAsync(buffer, _ended.Token) is > 0 and var count)
            {
                Interlocked.Add(ref answers ? ref _answeredBytes : ref _sentBytes, count);
                await underWay.WriteAsync((buffer[..count], Environment.TickCount64 + (long)Delay.TotalMilliseconds), _ended.Token);
            }
        }
        catch (Exception fault) when (fault is IOException or SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The connection ended.
        }

        underWay.TryComplete();
    }
}
