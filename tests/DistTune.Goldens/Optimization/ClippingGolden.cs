using System.Globalization;
using System.Text.Json;
using DistTune.Core.Optimization;

namespace DistTune.Goldens.Optimization;

/// <summary>Gradient clipping by the global norm: cases in a JSON file, tensors before and after in a safetensors file of the same name.</summary>
public sealed class ClippingGolden : IGoldenKind
{
    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
        let root = JsonCase.Root(file)
        where JsonCase.HasAll(root, "cases", "tolerance") && root.GetProperty("cases").ValueKind == JsonValueKind.Array
            && root.GetProperty("cases").EnumerateArray().All(item => JsonCase.HasAll(item, "case", "max_norm", "total_norm", "coefficient"))
        let tensors = Path.ChangeExtension(file, ".safetensors")
        where File.Exists(tensors)
        select GoldenCase.OfFile(file, tensors);

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var root = JsonCase.Root(golden.Path);
        var tolerance = JsonCase.Number(root, "tolerance", "rel");
        using var tensors = TensorFile.Open(golden.Files[1]);
        foreach (var item in root.GetProperty("cases").EnumerateArray())
        {
            cancellationToken.ThrowIfCancellationRequested();
            var index = item.GetProperty("case").GetInt32();
            var before = Joined(tensors, string.Create(CultureInfo.InvariantCulture, $"{index}.before."));
            var after = Joined(tensors, string.Create(CultureInfo.InvariantCulture, $"{index}.after."));
            var maximum = item.GetProperty("max_norm") is { ValueKind: JsonValueKind.Number } bound ? bound.GetDouble() : (double?)null;
            var norm = GradientClipping.Norm(before);
            var factor = GradientClipping.Factor(norm, maximum);
            meter.Relative($"norm of case {index.ToString(CultureInfo.InvariantCulture)}", norm, JsonCase.Number(item, "total_norm"), tolerance);
            meter.Relative($"factor of case {index.ToString(CultureInfo.InvariantCulture)}", factor, JsonCase.Number(item, "coefficient"), tolerance);
            for (var i = 0; i < before.Length; i++)
            {
                meter.Relative($"value {i.ToString(CultureInfo.InvariantCulture)} of case {index.ToString(CultureInfo.InvariantCulture)}", (float)factor * before[i], after[i], tolerance);
            }
        }

        return Task.CompletedTask;
    }

    private static float[] Joined(TensorFile tensors, string prefix) =>
        [.. tensors.Names.Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal).SelectMany(tensors.Floats)];
}
