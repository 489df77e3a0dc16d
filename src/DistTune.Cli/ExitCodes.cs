using DistTune.Core;

namespace DistTune.Cli;

/// <summary>What the shell is told.</summary>
internal static class ExitCodes
{
    /// <summary>All went well.</summary>
    public const int Success = 0;

    /// <summary>The run could not be carried out.</summary>
    public const int Failed = 1;

    /// <summary>Configuration, command line or an input file is wrong.</summary>
    public const int Configuration = 2;

    /// <summary>Stopped by the user (Ctrl+C).</summary>
    public const int Interrupted = 130;

    /// <summary>The code of a fault.</summary>
    public static int Of(FaultKind kind) => kind is FaultKind.Configuration or FaultKind.InvalidFile ? Configuration : Failed;
}
