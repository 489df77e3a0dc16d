using DistTune.Core.Tests.Text;

namespace DistTune.Core.Tests;

/// <summary>Paths within the reference data of a clone.</summary>
internal static class Golden
{
    /// <summary>A path within <c>tests/golden</c>.</summary>
    public static string Path(params string[] parts) => System.IO.Path.Combine([GoldenFiles.Root, .. parts]);
}
