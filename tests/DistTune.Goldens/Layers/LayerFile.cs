using DistTune.Modeling;

namespace DistTune.Goldens.Layers;

/// <summary>A golden file of one layer, its tensors on the CPU in fp32.</summary>
internal sealed class LayerFile(TensorFile file) : IDisposable
{
    /// <summary>The tolerance where a case names none, for values of order 1.</summary>
    public const double Tolerance = 1e-5;

    /// <summary>The file.</summary>
    public TensorFile File => file;

    /// <summary>Opens a file.</summary>
    public static LayerFile Open(string path) => new(TensorFile.Open(path));

    /// <summary>Files of a folder whose tensors' names fit.</summary>
    public static IEnumerable<GoldenCase> Find(string folder, Predicate<HashSet<string>> fits) =>
        Directory.EnumerateFiles(folder, "*.safetensors")
            .Order(StringComparer.Ordinal)
            .Where(path => fits(TensorFile.NamesIn(path)))
            .Select(path => GoldenCase.OfFile(path));

    /// <summary>A tensor, all but the last dimension flattened to rows.</summary>
    public Tensor Rows(string name)
    {
        var shape = file.Shape(name);
        return HostMemory.Upload<float>(file.Floats(name), [file.Floats(name).Length / shape[^1], shape[^1]], ScalarType.Float32, torch.CPU);
    }

    /// <summary>A tensor in its own shape.</summary>
    public Tensor Exact(string name) => HostMemory.Upload<float>(file.Floats(name), [.. file.Shape(name)], ScalarType.Float32, torch.CPU);

    /// <summary>A tensor in its own shape, or null if there is none.</summary>
    public Tensor? Optional(string name) => file.Has(name) ? Exact(name) : null;

    /// <summary>
    /// Compares a tensor with the file's. The tolerance is meant for values of order 1: where a tensor's values reach 40, the
    /// reference itself is 2e-5 away from exact arithmetic, so the tolerance goes with the tensor's largest value.
    /// </summary>
    public void Compare(ErrorMeter meter, string name, Tensor actual, double tolerance = Tolerance)
    {
        var expected = file.Floats(name);
        meter.Absolute(name, HostMemory.Download(actual), expected, tolerance * Math.Max(1, expected.Max(Math.Abs)));
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();
}
