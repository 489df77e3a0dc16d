using System.Diagnostics;
using System.Globalization;

namespace DistTune.ServiceDefaults;

/// <summary>
/// The process that a service must not outlive, by id and start time: ids are reused, a pair of both is not.
/// </summary>
/// <param name="Id">Process id.</param>
/// <param name="Started">When it started, in the system's own reckoning (compared, never computed with); empty if not known.</param>
public sealed record ParentProcess(int Id, string Started)
{
    /// <summary>Environment variable with the parent's process id.</summary>
    public const string IdVariable = "DISTTUNE_PARENT_PID";

    /// <summary>Environment variable with the parent's start time, as <see cref="Started"/> spells it.</summary>
    public const string StartedVariable = "DISTTUNE_PARENT_STARTED";

    /// <summary>This process, to be handed to children in their environment.</summary>
    public static ParentProcess Current { get; } = new(Environment.ProcessId, StartOf(Environment.ProcessId) ?? "");

    /// <summary>Whether the process still runs. A process that ended but was not collected by its own parent does not.</summary>
    public bool IsAlive => StartOf(Id) is { } started && (Started.Length == 0 || string.Equals(started, Started, StringComparison.Ordinal));

    /// <summary>The parent named by the environment, or null if there is none to watch.</summary>
    /// <param name="read">Reads a variable, null if it is not set.</param>
    public static ParentProcess? FromEnvironment(Func<string, string?> read)
    {
        ArgumentNullException.ThrowIfNull(read);
        return int.TryParse(read(IdVariable), NumberStyles.None, CultureInfo.InvariantCulture, out var id) && id > 0
            ? new ParentProcess(id, read(StartedVariable) ?? "")
            : null;
    }

    private static string? StartOf(int id) => OperatingSystem.IsLinux() ? LinuxStartOf(id) : PortableStartOf(id);

    private static string? LinuxStartOf(int id)
    {
        try
        {
            // "pid (name) state ppid … starttime(22nd) …"; the name may hold spaces and parentheses.
            var stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{id}/stat"));
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] is "Z" or "X" ? null : fields[19];
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static string? PortableStartOf(int id)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            return process.HasExited ? null : process.StartTime.ToUniversalTime().ToString("yyyyMMddHHmmss", CultureInfo.InvariantCulture);
        }
        catch (ArgumentException)
        {
            return null;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
