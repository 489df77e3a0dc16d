using DistTune.Core.Models;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>down(silu(gate(x)) * up(x)), forward and backward.</summary>
internal sealed class FeedForwardGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        LayerFile.Find(folder, names => names.IsSupersetOf(["x", "y", "grad_x", "grad_y", "gate_proj.weight", "up_proj.weight", "down_proj.weight"]));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        using var scope = torch.NewDisposeScope();
        using var file = LayerFile.Open(golden.Path);
        var kernels = new TorchKernels();
        var gradients = new GradientTable();
        var (gateUp, down) = (GateUp(file), Down(file));
        var x = file.Rows("x");
        var (both, _) = kernels.Linear(x, gateUp, residual: null);
        var activated = kernels.GatedActivation(both, Activation.Silu);
        var (y, _) = kernels.Linear(activated, down, residual: null);
        file.Compare(meter, "y", y);

        var activatedGradient = kernels.LinearBackward(file.Rows("grad_y"), down, activated, trace: null, inputGradient: true, gradients)!;
        var bothGradient = kernels.GatedActivationBackward(activatedGradient, both, Activation.Silu);
        file.Compare(meter, "grad_x", kernels.LinearBackward(bothGradient, gateUp, x, trace: null, inputGradient: true, gradients)!);
        string[] names = ["gate_proj.weight", "up_proj.weight", "down_proj.weight", "gate_proj.bias", "up_proj.bias", "down_proj.bias"];
        for (var entry = 0; entry < names.Length; entry++)
        {
            if (file.File.Has($"grad.{names[entry]}"))
            {
                file.Compare(meter, $"grad.{names[entry]}", gradients[entry]);
            }
        }

        return Task.CompletedTask;
    }

    private static Projection GateUp(LayerFile file)
    {
        var (gate, up) = (file.Exact("gate_proj.weight"), file.Exact("up_proj.weight"));
        var bias = file.Optional("gate_proj.bias") is { } gateBias ? torch.cat(new[] { gateBias, file.Exact("up_proj.bias") }) : null;
        var width = gate.shape[0];
        return new Projection(new DenseMatrix(torch.cat(new[] { gate, up })), bias, [])
        {
            TrainedWeight = [new TrainedRows(0, 0, width), new TrainedRows(1, width, width)],
            TrainedBias = bias is null ? [] : [new TrainedRows(3, 0, width), new TrainedRows(4, width, width)],
        };
    }

    private static Projection Down(LayerFile file)
    {
        var weight = file.Exact("down_proj.weight");
        var bias = file.Optional("down_proj.bias");
        return new Projection(new DenseMatrix(weight), bias, [])
        {
            TrainedWeight = [new TrainedRows(2, 0, weight.shape[0])],
            TrainedBias = bias is null ? [] : [new TrainedRows(5, 0, weight.shape[0])],
        };
    }
}
