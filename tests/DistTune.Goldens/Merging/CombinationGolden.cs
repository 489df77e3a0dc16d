using System.Text.Json;
using DistTune.Core.Merging;

namespace DistTune.Goldens.Merging;

/// <summary>Adapters of one base, combined: the factors of every combination that the reference saved.</summary>
internal sealed class CombinationGolden : IGoldenKind
{
    private const string CaseName = "case.json";
    private const double Tolerance = 1e-6;

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        var path = Path.Combine(folder, CaseName);
        return File.Exists(path) && JsonCase.HasAll(JsonCase.Root(path), "kind", "adapters", "combine", "model") ? [GoldenCase.OfFolder(folder, "combine")] : [];
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(Path.Combine(golden.Path, CaseName));
        foreach (var combination in root.GetProperty("combine").EnumerateObject())
        {
            var kind = combination.Value.GetProperty("type").GetString() switch
            {
                "linear" => CombinationKind.Linear,
                "cat" => CombinationKind.Cat,
                var other => throw new GoldenUnsupportedException($"the combination '{other}'"),
            };
            var parts = combination.Value.GetProperty("weights").EnumerateObject()
                .Select(part => (AdapterFolder.Load(Path.Combine(golden.Path, part.Name)), part.Value.GetDouble()))
                .ToList();
            Compare(combination.Name, AdapterCombination.Combine(parts, kind), AdapterFolder.Load(Path.Combine(golden.Path, combination.Name)), meter);
        }

        return Task.CompletedTask;
    }

    /// <summary>Compares adapters module by module.</summary>
    internal static void Compare(string what, AdapterFolder actual, AdapterFolder expected, ErrorMeter meter)
    {
        meter.Equal($"{what}: modules", string.Join(' ', actual.Modules.Select(module => module.Name)), string.Join(' ', expected.Modules.Select(module => module.Name)));
        foreach (var (one, other) in actual.Modules.Zip(expected.Modules))
        {
            meter.Absolute($"{what}: scale of {one.Name}", one.Scale, other.Scale, 1e-12);
            meter.Absolute($"{what}: A of {one.Name}", one.A.Values, other.A.Values, Tolerance);
            meter.Absolute($"{what}: B of {one.Name}", one.B.Values, other.B.Values, Tolerance);
        }
    }
}
