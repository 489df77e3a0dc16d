// Shapes: T rows, D width.
using DistTune.Core.Models;
using DistTune.Modeling;
using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>A root-mean-square norm, forward and backward.</summary>
/// <remarks>
/// The reference may have computed y with a gain that was rounded to bfloat16 before it was written. Then the gain is found from y,
/// which holds it once a row, and must round to the one in the file; the gain's gradient is compared to bfloat16's precision.
/// </remarks>
internal sealed class RmsNormGolden : IGoldenKind
{
    // Rounding to bfloat16, and being a whole step away, relative to the value.
    private const double HalfStep = 1.0 / 256;
    private const double WholeStep = 1.0 / 128;

    // The files do not say which epsilon made them.
    private static readonly double[] Epsilons = [1e-5, 1e-6, 1e-3, 1e-4, 1e-7, 1e-8];

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        LayerFile.Find(folder, names => names.IsSupersetOf(["x", "weight", "y", "grad_x", "grad_y", "grad_weight"]) && !names.Contains("bias"));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        using var scope = torch.NewDisposeScope();
        using var file = LayerFile.Open(golden.Path);
        var (x, stored) = (file.Rows("x"), file.Exact("weight"));
        if (stored.shape.Length != 1 || stored.shape[0] != x.shape[1])
        {
            throw new GoldenUnsupportedException("a layer with x, weight and y that is not a norm");
        }

        var epsilon = Epsilons.MinBy(candidate => Error(file, x, UsedGain(file, x, candidate), new NormSpec(candidate)));
        var (norm, weight) = Explain(file, x, stored, epsilon);
        Compare(file, x, weight, norm, meter);
        CompareNarrow(file, x, stored, norm, meter);
        return Task.CompletedTask;
    }

    /// <summary>How the gain follows from the stored weight, and the weight before it was rounded, if it was.</summary>
    private static (NormSpec Norm, Tensor Weight) Explain(LayerFile file, Tensor x, Tensor stored, double epsilon)
    {
        NormSpec[] kinds = [new(epsilon), new(epsilon, OnePlusWeight: true)];
        if (Array.Find(kinds, kind => Error(file, x, stored, kind) <= LayerFile.Tolerance) is { } exact)
        {
            return (exact, stored);
        }

        var gain = UsedGain(file, x, epsilon);
        foreach (var kind in kinds)
        {
            var weight = kind.OnePlusWeight ? gain.sub(1) : gain;
            if (IsRoundingOf(weight, stored))
            {
                return (kind, weight);
            }
        }

        // Nothing explains y: report how far off the stored gain is.
        return (kinds[0], stored);
    }

    private static void Compare(LayerFile file, Tensor x, Tensor gain, NormSpec norm, ErrorMeter meter)
    {
        var kernels = new TorchKernels();
        var (y, reciprocal) = kernels.RmsNorm(x, gain, norm);
        file.Compare(meter, "y", y);
        var (xGradient, gainGradient) = kernels.RmsNormBackward(file.Rows("grad_y"), x, gain, reciprocal, norm, inputGradient: true, weightGradient: true);
        file.Compare(meter, "grad_x", xGradient!);
        var isRounded = file.File.Floats("grad_weight").All(value => (BitConverter.SingleToUInt32Bits(value) & 0xFFFF) == 0);
        CompareRounded(meter, "grad_weight", HostMemory.Download(gainGradient!), file.File.Floats("grad_weight"), isRounded ? HalfStep : 0);
    }

    private static void CompareNarrow(LayerFile file, Tensor x, Tensor gain, NormSpec norm, ErrorMeter meter)
    {
        const string name = "y_bf16_input_and_weight";
        if (file.File.Has(name))
        {
            var (narrow, _) = new TorchKernels().RmsNorm(x.to(ScalarType.BFloat16), gain.to(ScalarType.BFloat16), norm);
            CompareRounded(meter, name, HostMemory.Download(narrow), file.File.Floats(name), WholeStep);
        }
    }

    /// <summary>Compares what is left of the differences after a rounding of the expected values.</summary>
    private static void CompareRounded(ErrorMeter meter, string name, float[] actual, float[] expected, double step)
    {
        var scale = Math.Max(1, expected.Max(Math.Abs));
        for (var index = 0; index < expected.Length; index++)
        {
            var difference = Math.Abs((double)actual[index] - expected[index]);
            meter.Note(name, Math.Max(0, difference - (step * Math.Abs(expected[index]))), LayerFile.Tolerance * scale);
        }
    }

    /// <summary>The gain [D] that explains y best, by least squares over the rows.</summary>
    private static Tensor UsedGain(LayerFile file, Tensor x, double epsilon)
    {
        var (normed, _) = new TorchKernels().RmsNorm(x, torch.ones([x.shape[1]]), new NormSpec(epsilon));
        return file.Rows("y").mul(normed).sum(dim: 0).div(normed.square().sum(dim: 0));
    }

    private static bool IsRoundingOf(Tensor gain, Tensor stored)
    {
        var (exact, rounded) = (HostMemory.Download(gain), HostMemory.Download(stored));
        return exact.Zip(rounded).All(pair => Math.Abs((double)pair.First - pair.Second) <= (HalfStep * Math.Abs(pair.Second)) + LayerFile.Tolerance);
    }

    private static double Error(LayerFile file, Tensor x, Tensor weight, NormSpec norm)
    {
        var (y, _) = new TorchKernels().RmsNorm(x, weight, norm);
        var meter = new ErrorMeter();
        file.Compare(meter, "y", y);
        return meter.LargestError!.Value;
    }
}
