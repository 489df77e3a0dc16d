using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace DistTune.Cluster.Tests.Network;

/// <summary>
/// A network interface whose other end is a descriptor of this process: what the kernel routes to it is read here, and what is written
/// here it takes as received. The descriptor goes on working when the interface is moved into another namespace, and the interface is
/// gone when the descriptor is closed.
/// </summary>
internal sealed partial class TunDevice : IDisposable
{
    /// <summary>The device that makes interfaces.</summary>
    public const string Path = "/dev/net/tun";

    /// <summary>Longest packet of an interface, in bytes.</summary>
    public const int MaximumBytes = 1500;

    private const int RequestBytes = 40;
    private const int NameBytes = 16;
    private const nuint SetInterface = 0x400454ca;
    private const short LayerThree = 0x0001;
    private const short WithoutHeader = 0x1000;
    private const short Readable = 0x0001;
    private readonly byte[] _buffer = new byte[MaximumBytes];

    /// <exception cref="UnauthorizedAccessException">The kernel does not let this process make interfaces.</exception>
    /// <exception cref="IOException">The kernel made none.</exception>
    public TunDevice()
    {
        Descriptor = File.OpenHandle(Path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);

        // The kernel puts the next free number in the name's place for it.
        var request = new byte[RequestBytes];
        "dtt%d"u8.CopyTo(request);
        MemoryMarshal.Write(request.AsSpan(NameBytes), (short)(LayerThree | WithoutHeader));
        if (Control(Descriptor, SetInterface, request) != 0)
        {
            var (error, why) = (Marshal.GetLastPInvokeError(), Marshal.GetLastPInvokeErrorMessage());
            Descriptor.Dispose();
            throw error == 1 ? new UnauthorizedAccessException(why) : new IOException($"{Path} made no interface: {why}");
        }

        Name = Encoding.ASCII.GetString(request.AsSpan(0, request.AsSpan().IndexOf((byte)0)));
    }

    /// <summary>Whether there is a driver behind the device's node; a container may have the node alone.</summary>
    public static bool HasDriver()
    {
        try
        {
            File.OpenHandle(Path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite).Dispose();
            return true;
        }
        catch (IOException)
        {
            return false;
        }
        catch (UnauthorizedAccessException)
        {
            // There may be one; who makes an interface finds out.
            return true;
        }
    }

    /// <summary>The interface's name.</summary>
    public string Name { get; }

    private SafeFileHandle Descriptor { get; }

    /// <summary>Waits until one of the interfaces has a packet, or the time is over.</summary>
    /// <returns>For each whether it has one.</returns>
    public static bool[] Wait(IReadOnlyList<TunDevice> devices, int milliseconds)
    {
        var entries = devices.Select(device => new PollEntry { Descriptor = (int)device.Descriptor.DangerousGetHandle(), Wanted = Readable }).ToArray();
        _ = Poll(entries, (nuint)entries.Length, milliseconds);
        return [.. entries.Select(entry => (entry.Happened & Readable) != 0)];
    }

    /// <summary>Reads a packet that is there; empty if it is not.</summary>
    public byte[] Read() => _buffer[..(int)Math.Max(0, Receive(Descriptor, _buffer, (nuint)_buffer.Length))];

    /// <summary>Writes a packet. One that the kernel does not take is lost, as on any network.</summary>
    public void Write(byte[] packet) => Send(Descriptor, packet, (nuint)packet.Length);

    public void Dispose() => Descriptor.Dispose();

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(SafeFileHandle descriptor, nuint request, byte[] argument);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint Receive(SafeFileHandle descriptor, [Out] byte[] packet, nuint length);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Send(SafeFileHandle descriptor, byte[] packet, nuint length);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll([In, Out] PollEntry[] entries, nuint count, int milliseconds);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Wanted;
        public short Happened;
    }
}
