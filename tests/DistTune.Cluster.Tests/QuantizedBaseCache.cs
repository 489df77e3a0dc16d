using DistTune.Core.Quantization;

[assembly: AssemblyFixture(typeof(DistTune.Cluster.Tests.QuantizedBaseCache))]

namespace DistTune.Cluster.Tests;

/// <summary>A folder of these tests' own for what workers in this process make once of a base: the user's stays as it is.</summary>
public sealed class QuantizedBaseCache : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-cluster-cache-").FullName;
    private readonly string? _before = Environment.GetEnvironmentVariable(QuantizedBase.FolderVariable);

    public QuantizedBaseCache() => Environment.SetEnvironmentVariable(QuantizedBase.FolderVariable, _folder);

    public void Dispose()
    {
        Environment.SetEnvironmentVariable(QuantizedBase.FolderVariable, _before);
        Directory.Delete(_folder, recursive: true);
    }
}
