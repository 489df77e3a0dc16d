using System.Globalization;

namespace DistTune.Core.Formats;

/// <summary>Makes the one kind of error that readers of foreign files throw: file, offset, what is wrong, cure.</summary>
internal static class FileFault
{
    /// <summary>A fault of the whole file.</summary>
    public static DistTuneException Of(string path, string problem, string cure, Exception? inner = null) =>
        new(FaultKind.InvalidFile, $"{path}: {problem}. {cure}", inner);

    /// <summary>A fault at a byte of the file.</summary>
    public static DistTuneException At(string path, long offset, string problem, string cure, Exception? inner = null) =>
        new(FaultKind.InvalidFile, string.Create(CultureInfo.InvariantCulture, $"{path} at byte {offset}: {problem}. {cure}"), inner);
}
