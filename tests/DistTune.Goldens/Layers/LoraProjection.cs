using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>The decoder's own linear kernel with LoRA, against a plain linear layer of loralib.</summary>
internal static class LoraProjection
{
    /// <summary>Compares values and derivatives.</summary>
    public static void Compare(LayerFile file, double scale, double tolerance, ErrorMeter meter)
    {
        using var scope = torch.NewDisposeScope();
        var projection = Adapt(file, (float)scale);
        var kernels = new TorchKernels();
        var gradients = new GradientTable();
        var x = file.Rows("x");
        var (y, trace) = kernels.Linear(x, projection, residual: null);
        file.Compare(meter, "y_train", y, tolerance);
        file.Compare(meter, "grad_x", kernels.LinearBackward(file.Rows("grad_y"), projection, x, trace, inputGradient: true, gradients)!, tolerance);
        file.Compare(meter, "grad.lora_A", gradients[0], tolerance);
        file.Compare(meter, "grad.lora_B", gradients[1], tolerance);
        if (file.File.Has("grad.bias"))
        {
            file.Compare(meter, "grad.bias", gradients[2], tolerance);
        }
    }

    private static Projection Adapt(LayerFile file, float scale)
    {
        var (weight, a, b) = (file.Exact("init.weight"), file.Exact("init.lora_A"), file.Exact("init.lora_B"));
        var bias = file.Optional("init.bias");
        return new Projection(new DenseMatrix(weight), bias, [])
        {
            Lora = new LoraFactors(a, [new LoraPart(0, 1, 0, a.shape[0], 0, b.shape[0], b, scale)]),
            TrainedBias = bias is null ? [] : [new TrainedRows(2, 0, b.shape[0])],
        };
    }
}
