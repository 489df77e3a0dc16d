using System.Globalization;
using System.Net;

namespace DistTune.Hosting.Tests;

/// <summary>What Linux tells of a process: what anybody can see of it, and where it listens.</summary>
internal static class ProcessFacts
{
    private const string Listening = "0A";

    /// <summary>The command line, which everybody on the machine may read.</summary>
    public static string CommandLine(int id) => File.ReadAllText(PathOf(id, "cmdline"));

    /// <summary>A variable of the environment, which its owner alone may read; null if it is not set.</summary>
    public static string? Variable(int id, string name) =>
        File.ReadAllText(PathOf(id, "environ")).Split('\0').FirstOrDefault(entry => entry.StartsWith(name + "=", StringComparison.Ordinal))?[(name.Length + 1)..];

    /// <summary>The addresses at which it takes connections.</summary>
    public static IReadOnlyList<IPAddress> ListensOn(int id)
    {
        var sockets = Directory.EnumerateFiles(PathOf(id, "fd")).Select(file => new FileInfo(file).LinkTarget).OfType<string>()
            .Where(target => target.StartsWith("socket:[", StringComparison.Ordinal)).Select(target => target[8..^1]).ToHashSet(StringComparer.Ordinal);
        return
        [
            .. new[] { "net/tcp", "net/tcp6" }.SelectMany(table => File.ReadLines(PathOf(id, table)).Skip(1))
                .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .Where(fields => fields[3] == Listening && sockets.Contains(fields[9]))
                .Select(fields => Address(fields[1].Split(':')[0])),
        ];
    }

    // Four bytes at a time, each four in the machine's order.
    private static IPAddress Address(string hexadecimal) =>
        new([.. Convert.FromHexString(hexadecimal).Chunk(4).SelectMany(word => BitConverter.IsLittleEndian ? word.Reverse() : word)]);

    private static string PathOf(int id, string name) => string.Create(CultureInfo.InvariantCulture, $"/proc/{id}/{name}");
}
