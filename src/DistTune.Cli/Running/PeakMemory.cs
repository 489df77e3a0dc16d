using System.Diagnostics;
using System.Globalization;

namespace DistTune.Cli.Running;

/// <summary>Highest resident memory of processes, as Linux counts it.</summary>
internal static class PeakMemory
{
    private const string PeakField = "VmHWM:";

    /// <summary>Of this process.</summary>
    public static long OfThisProcess()
    {
        using var process = Process.GetCurrentProcess();
        return Of(process.Id) ?? process.PeakWorkingSet64;
    }

    /// <summary>Of a process, or null if it is gone.</summary>
    public static long? Of(int processId)
    {
        try
        {
            foreach (var line in File.ReadLines($"/proc/{processId.ToString(CultureInfo.InvariantCulture)}/status"))
            {
                if (line.StartsWith(PeakField, StringComparison.Ordinal))
                {
                    var kilobytes = line[PeakField.Length..].Trim().Split(' ')[0];
                    return long.Parse(kilobytes, CultureInfo.InvariantCulture) * 1024;
                }
            }
        }
        catch (IOException)
        {
            return null;
        }

        return null;
    }
}
