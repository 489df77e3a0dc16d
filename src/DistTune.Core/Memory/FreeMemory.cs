using System.Globalization;

namespace DistTune.Core.Memory;

/// <summary>How much memory this machine, or the container around this process, has left.</summary>
public static class FreeMemory
{
    private const string Available = "MemAvailable:";

    /// <summary>Bytes that can be taken without swapping or being killed; null where the system does not say.</summary>
    /// <param name="root">Where the system's files are; a test gives its own.</param>
    public static long? Bytes(string root = "/")
    {
        long?[] limits = [OfMachine(root), OfContainer(root, "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat", "inactive_file "),
            OfContainer(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes", "sys/fs/cgroup/memory/memory.stat", "total_inactive_file ")];
        return limits.Min();
    }

    private static long? OfMachine(string root) => Field(Path.Combine(root, "proc/meminfo"), Available) * 1024;

    // Of what a container has used, file pages that nobody has touched lately are given back first.
    private static long? OfContainer(string root, string limit, string used, string statistics, string inactive)
    {
        if (Field(Path.Combine(root, limit), "") is not { } bound || Field(Path.Combine(root, used), "") is not { } taken)
        {
            return null;
        }

        var reclaimable = Field(Path.Combine(root, statistics), inactive) ?? 0;
        return Math.Max(0, bound - Math.Max(0, taken - reclaimable));
    }

    // The number on the line that begins with a name; null without one, as where a limit is "max".
    private static long? Field(string path, string name)
    {
        try
        {
            foreach (var line in File.ReadLines(path))
            {
                if (line.StartsWith(name, StringComparison.Ordinal))
                {
                    var text = line.AsSpan(name.Length).Trim();
                    var end = text.IndexOf(' ');
                    return long.TryParse(end < 0 ? text : text[..end], NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
                }
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return null;
        }

        return null;
    }
}
