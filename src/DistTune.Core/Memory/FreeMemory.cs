using System.Globalization;

namespace DistTune.Core.Memory;

/// <summary>How much memory this machine, or the container around this process, has left.</summary>
public static class FreeMemory
{
    private const string Available = "MemAvailable:";

    private static readonly Hierarchy Unified = new("sys/fs/cgroup", "", "memory.max", "memory.current", "inactive_file ");
    private static readonly Hierarchy Legacy = new("sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");

    /// <summary>Bytes that can be taken without swapping or being killed; null where the system does not say.</summary>
    /// <param name="root">Where the system's files are; a test gives its own.</param>
    public static long? Bytes(string root = "/") =>
        new[] { Unified, Legacy }.SelectMany(hierarchy => Groups(root, hierarchy).Select(group => OfContainer(group, hierarchy))).Append(OfMachine(root)).Min();

    // A container sees its own group as the top. A service or a batch job sees the whole tree, and every group above its own bounds it, too.
    private static IEnumerable<string> Groups(string root, Hierarchy hierarchy)
    {
        var top = Path.Combine(root, hierarchy.Mount);
        yield return top;
        var own = GroupOf(root, hierarchy.Controller);
        for (var path = own.Trim('/'); path.Length > 0; path = path[..Math.Max(0, path.LastIndexOf('/'))])
        {
            yield return Path.Combine(top, path);
        }
    }

    // Lines of "number:controllers:path"; the unified hierarchy has no controllers.
    private static string GroupOf(string root, string controller)
    {
        try
        {
            return File.ReadLines(Path.Combine(root, "proc/self/cgroup"))
                .Select(line => line.Split(':', 3))
                .FirstOrDefault(parts => parts.Length == 3 && parts[1].Split(',').Contains(controller, StringComparer.Ordinal))?[2] ?? "";
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static long? OfMachine(string root) => Field(Path.Combine(root, "proc/meminfo"), Available) * 1024;

    // Of what a container has used, file pages that nobody has touched lately are given back first.
    private static long? OfContainer(string group, Hierarchy hierarchy)
    {
        if (Field(Path.Combine(group, hierarchy.Limit), "") is not { } bound || Field(Path.Combine(group, hierarchy.Used), "") is not { } taken)
        {
            return null;
        }

        var reclaimable = Field(Path.Combine(group, "memory.stat"), hierarchy.Inactive) ?? 0;
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

    private sealed record Hierarchy(string Mount, string Controller, string Limit, string Used, string Inactive);
}
