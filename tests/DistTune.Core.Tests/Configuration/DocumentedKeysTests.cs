using DistTune.Core.Configuration;
using DistTune.Core.Tests.Optimization;

namespace DistTune.Core.Tests.Configuration;

public sealed class DocumentedKeysTests
{
    [Fact]
    public void Documentation_OfTheConfiguration_ListsEveryKeyAsItIs()
    {
        var page = File.ReadAllText(Path.Combine(OptimGoldens.Folder, "..", "..", "..", "docs", "configuration.md"));
        foreach (var (path, key) in Flat(RunConfigKeys.All, ""))
        {
            var expected = key.Kind is ConfigKind.Section or ConfigKind.SectionList ? $"| `{path}` |" : $"| {key.Expected} | {key.Description} |";
            Assert.Contains(expected, page, StringComparison.Ordinal);
            Assert.Contains($"| `{path}` |", page, StringComparison.Ordinal);
        }
    }

    private static IEnumerable<(string Path, ConfigKey Key)> Flat(IEnumerable<ConfigKey> keys, string prefix) => keys.SelectMany(key =>
        Flat(key.Keys, $"{prefix}{key.Name}{(key.Kind is ConfigKind.SectionList ? "[]" : "")}.").Prepend((prefix + key.Name, key)));
}
