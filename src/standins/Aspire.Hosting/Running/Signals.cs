using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Aspire.Hosting.Running;

/// <summary>Asks a process to end. .NET itself can only kill.</summary>
internal static class Signals
{
    /// <summary>SIGTERM.</summary>
    public const int Terminate = 15;

    /// <summary>SIGKILL.</summary>
    public const int Kill = 9;

    /// <summary>Sends a signal; on Windows, which has none, the process is ended. A process that is gone already is no fault.</summary>
    public static void Send(int processId, int signal)
    {
        if (!OperatingSystem.IsWindows())
        {
            _ = SendSignal(processId, signal);
            return;
        }

        try
        {
            using var process = Process.GetProcessById(processId);
            process.Kill(entireProcessTree: true);
        }
        catch (ArgumentException)
        {
            // Gone already.
        }
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static extern int SendSignal(int processId, int signal);
}
