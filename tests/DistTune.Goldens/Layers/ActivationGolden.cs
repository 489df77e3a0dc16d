using DistTune.Core.Models;
using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>Non-linearities of the feed-forward block, several to a file; their slopes are compared with differences of their own values in fp64.</summary>
internal sealed class ActivationGolden : IGoldenKind
{
    private const double Step = 1e-5;
    private const double SlopeTolerance = 1e-6;

    private static readonly Dictionary<string, Activation> Known = new(StringComparer.Ordinal)
    {
        ["silu"] = Activation.Silu,
        ["gelu"] = Activation.Gelu,
        ["gelu_pytorch_tanh"] = Activation.GeluTanh,
        ["gelu_new"] = Activation.GeluTanh,
        ["relu"] = Activation.Relu,
    };

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) => LayerFile.Find(folder, names => names.Contains("x") && names.Overlaps(Known.Keys));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        using var scope = torch.NewDisposeScope();
        using var file = LayerFile.Open(golden.Path);
        var x = file.Exact("x");
        foreach (var name in file.File.Names.Where(name => name != "x"))
        {
            if (!Known.TryGetValue(name, out var activation))
            {
                throw new GoldenUnsupportedException($"the activation {name}");
            }

            file.Compare(meter, name, TorchActivation.Apply(x, activation));
            CompareSlope(x, name, activation, meter);
        }

        return Task.CompletedTask;
    }

    private static void CompareSlope(Tensor x, string name, Activation activation, ErrorMeter meter)
    {
        // A kink has no slope to compare with.
        var exact = x.to(ScalarType.Float64);
        var smooth = activation == Activation.Relu ? exact.masked_select(exact.abs().gt(2 * Step)) : exact;
        var (value, slope) = TorchActivation.WithSlope(smooth, activation);
        meter.Note($"value beside the slope of {name}", Largest(value.sub(TorchActivation.Apply(smooth, activation))), SlopeTolerance);
        var difference = TorchActivation.Apply(smooth.add(Step), activation).sub(TorchActivation.Apply(smooth.sub(Step), activation)).div(2 * Step);
        meter.Note($"slope of {name}", Largest(slope.sub(difference)), SlopeTolerance);
    }

    private static double Largest(Tensor difference) => difference.abs().amax(0).item<double>();
}
