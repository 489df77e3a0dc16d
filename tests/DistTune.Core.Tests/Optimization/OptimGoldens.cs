using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace DistTune.Core.Tests.Optimization;

/// <summary>Reads <c>tests/golden/optim</c>.</summary>
internal static class OptimGoldens
{
    public static string Folder { get; } = Find();

    public static JsonElement Json(string name)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, name)));
        return document.RootElement.Clone();
    }

    /// <summary>All fp32 tensors of a small file that this repository made itself.</summary>
    public static Dictionary<string, float[]> Tensors(string name)
    {
        var file = File.ReadAllBytes(Path.Combine(Folder, name));
        var headerLength = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        using var header = JsonDocument.Parse(file.AsMemory(8, headerLength));
        var tensors = new Dictionary<string, float[]>(StringComparer.Ordinal);
        foreach (var tensor in header.RootElement.EnumerateObject().Where(tensor => tensor.Name != "__metadata__"))
        {
            Assert.Equal("F32", tensor.Value.GetProperty("dtype").GetString());
            var offsets = tensor.Value.GetProperty("data_offsets");
            var (start, end) = (offsets[0].GetInt32(), offsets[1].GetInt32());
            tensors.Add(tensor.Name, MemoryMarshal.Cast<byte, float>(file.AsSpan(8 + headerLength + start, end - start)).ToArray());
        }

        return tensors;
    }

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "DistTune.sln")))
            {
                return Path.Combine(folder.FullName, "tests", "golden", "optim");
            }
        }

        throw new DirectoryNotFoundException($"No DistTune.sln above {AppContext.BaseDirectory}.");
    }
}
