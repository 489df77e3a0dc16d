using System.Diagnostics;
using System.Globalization;

namespace Aspire.Hosting.Running;

/// <summary>A process and when it started; the pair is never reused.</summary>
internal readonly record struct ProcessIdentity(int Id, string Started);

/// <summary>The processes below a process. A child that ends leaves its own children to the system, so they are noted before.</summary>
internal static class ProcessTree
{
    /// <summary>Every process below <paramref name="root"/>, by what <c>/proc</c> says now; empty where there is no <c>/proc</c>.</summary>
    public static IReadOnlyList<ProcessIdentity> Below(int root)
    {
        if (!OperatingSystem.IsLinux())
        {
            return [];
        }

        var children = Directory.EnumerateDirectories("/proc")
            .Select(folder => int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? Read(id) : null)
            .OfType<(ProcessIdentity Process, int Parent)>()
            .ToLookup(entry => entry.Parent, entry => entry.Process);
        var found = new List<ProcessIdentity>();
        var open = new Queue<int>([root]);
        while (open.TryDequeue(out var parent))
        {
            foreach (var child in children[parent])
            {
                found.Add(child);
                open.Enqueue(child.Id);
            }
        }

        return found;
    }

    /// <summary>Ends a process if it still is the one that was noted.</summary>
    public static void Kill(ProcessIdentity process)
    {
        if (Read(process.Id) is { } entry && entry.Process == process)
        {
            Signals.Send(process.Id, Signals.Kill);
        }
    }

    private static (ProcessIdentity Process, int Parent)? Read(int id)
    {
        try
        {
            // "pid (name) state ppid … starttime(22nd) …"; the name may hold spaces and parentheses.
            var stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{id}/stat"));
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (new ProcessIdentity(id, fields[19]), int.Parse(fields[1], CultureInfo.InvariantCulture));
        }
        catch (IOException)
        {
            return null;
        }
        catch (UnauthorizedAccessException)
        {
            return null;
        }
    }
}
