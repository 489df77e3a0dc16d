using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;

namespace DistTune.Cluster.Tests.Network;

/// <summary>A network namespace of the kernel, with one interface and one address; deleted at the end.</summary>
internal sealed class NetworkNamespace : IDisposable
{
    private const string Prefix = "disttune-";
    private const string Folder = "/run/netns";

    /// <exception cref="UnauthorizedAccessException">The kernel does not let this process make namespaces.</exception>
    /// <exception cref="IOException">The namespace could not be made.</exception>
    public NetworkNamespace(string role, IPAddress address)
    {
        Name = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-{RandomNumberGenerator.GetHexString(8, lowercase: true)}-{role}");
        Address = address;
        Ip("netns", "add", Name);
        try
        {
            Device = new TunDevice();
            Ip("link", "set", Device.Name, "netns", Name);
            Ip("-n", Name, "link", "set", "lo", "up");
            Ip("-n", Name, "address", "add", $"{address}/24", "dev", Device.Name);
            Ip("-n", Name, "link", "set", Device.Name, "mtu", TunDevice.MaximumBytes.ToString(CultureInfo.InvariantCulture), "up");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Its name, for <c>ip netns exec</c>.</summary>
    public string Name { get; }

    public IPAddress Address { get; }

    /// <summary>Its interface.</summary>
    public TunDevice Device { get; } = null!;

    /// <summary>What namespaces need and this machine or this process has not; null if all is there.</summary>
    public static string? Missing() =>
        !OperatingSystem.IsLinux() ? "network namespaces need Linux"
        : !HasProgram("ip") ? "the program 'ip' is missing (Debian: apt-get install iproute2)"
        : !File.Exists(TunDevice.Path) ? $"{TunDevice.Path} is missing (modprobe tun; for a container --device {TunDevice.Path})"
        : !Environment.IsPrivilegedProcess ? "network namespaces need root"
        : !TunDevice.HasDriver() ? $"{TunDevice.Path} has no driver (modprobe tun)"
        : null;

    /// <summary>Deletes what runs left behind that were killed, and ends the processes that are still in there.</summary>
    public static void DeleteLeftovers()
    {
        var names = Directory.Exists(Folder) ? Directory.EnumerateFiles(Folder, Prefix + "*").Select(path => Path.GetFileName(path)) : [];
        foreach (var name in names.Where(name => !Directory.Exists($"/proc/{name[Prefix.Length..].Split('-')[0]}")).ToList())
        {
            if (Ip("netns", "pids", name).Split('\n', StringSplitOptions.RemoveEmptyEntries) is { Length: > 0 } processes)
            {
                // Without asking how it went: one of them may just have ended.
                using var kill = Process.Start("kill", ["-KILL", .. processes]);
                kill.WaitForExit();
            }

            Ip("netns", "delete", name);
        }
    }

    public void Dispose()
    {
        Device?.Dispose();
        Ip("netns", "delete", Name);
    }

    private static bool HasProgram(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, name)));

    private static string Ip(params string[] arguments)
    {
        using var ip = Process.Start(new ProcessStartInfo("ip", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, error) = (ip.StandardOutput.ReadToEnd(), ip.StandardError.ReadToEnd());
        ip.WaitForExit();
        return ip.ExitCode == 0 ? output
            : error.Contains("not permitted", StringComparison.Ordinal) || error.Contains("Permission denied", StringComparison.Ordinal) ? throw new UnauthorizedAccessException(error.Trim())
            : throw new IOException($"ip {string.Join(' ', arguments)} ended with {ip.ExitCode}: {error.Trim()}");
    }
}
