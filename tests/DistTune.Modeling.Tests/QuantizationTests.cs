using System.Collections.Immutable;
using DistTune.Core.Formats;
using DistTune.Core.Quantization;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Quantization;
using TorchSharp;
using ScalarType = TorchSharp.torch.ScalarType;
using Tensor = TorchSharp.torch.Tensor;

namespace DistTune.Modeling.Tests;

public sealed class QuantizationTests
{
    private static readonly FourBitSettings Settings = new();

    [Theory]
    [InlineData("nf4", 7, 9, 64)]
    [InlineData("nf4", 130, 4099, 64)]
    [InlineData("fp4", 300, 2048, 256)]
    public void Products_are_those_of_the_restored_matrix(string kind, long rows, long columns, int blockSize)
    {
        using var scope = torch.NewDisposeScope();
        using var weights = new Noise(rows, columns);
        var settings = new FourBitSettings(kind == "nf4" ? FourBitKind.Nf4 : FourBitKind.Fp4, blockSize, DoubleQuantization: rows > 7);
        using var matrix = Quantized(weights, settings);
        var restored = matrix.RowBlock(0, rows, ScalarType.Float32);
        var x = torch.rand([5, columns]);
        var gradient = torch.rand([5, rows]);

        AssertClose(x.mm(restored.t()), matrix.Multiply(x), columns);
        AssertClose(torch.ones([5, rows]).addmm(x, restored.t()), matrix.Multiply(x, torch.ones([rows])), columns);
        AssertClose(gradient.mm(restored), matrix.MultiplyTransposed(gradient), rows);
        Assert.Equal(HostMemory.Download(restored.narrow(0, 3, 2)), HostMemory.Download(matrix.RowBlock(3, 2, ScalarType.Float32)));
    }

    [Fact]
    public void Matrices_one_below_the_other_may_be_stored_in_different_ways()
    {
        using var scope = torch.NewDisposeScope();
        using var weights = new Noise(48, 64);
        using var matrix = Quantized(weights, Settings);
        var dense = torch.rand([16, 64]);
        var stacked = new StackedMatrix([new DenseMatrix(dense), matrix]);
        var whole = torch.cat([dense, matrix.RowBlock(0, 48, ScalarType.Float32)]);
        var x = torch.rand([3, 64]);
        var gradient = torch.rand([3, 64]);

        AssertClose(x.mm(whole.t()), stacked.Multiply(x), 64);
        AssertClose(gradient.mm(whole), stacked.MultiplyTransposed(gradient), 64);
        AssertClose(x.mm(whole.narrow(0, 10, 20).t()), stacked.MultiplyRows(x, 10, 20), 64);
        AssertClose(gradient.narrow(1, 0, 20).mm(whole.narrow(0, 10, 20)), stacked.MultiplyRowsTransposed(gradient.narrow(1, 0, 20), 10, 20), 64);
        Assert.Equal(HostMemory.Download(whole.narrow(0, 10, 20)), HostMemory.Download(stacked.RowBlock(10, 20, ScalarType.Float32)));
    }

    [Fact]
    public async Task Gradients_over_four_bits_are_the_same_bits_when_layers_are_computed_again_and_on_any_number_of_lanes()
    {
        using var tiny = new TinyLlama(quantization: Settings);
        var (loss, gradient) = await tiny.ComputeAsync(tiny.UnevenGroup());
        var (again, recomputed) = await tiny.ComputeAsync(tiny.UnevenGroup(), gradientCheckpointing: true);
        await using var computer = tiny.Computer(lanes: 3);
        var sinks = Enumerable.Range(0, 6).Select(_ => new RecordingSink(tiny.Layout)).ToList();
        await Task.WhenAll(sinks.Select(sink => computer.ComputeAsync(tiny.UnevenGroup(), tiny.Trained, sink, TestContext.Current.CancellationToken)));

        Assert.Equal(loss, again);
        Assert.Equal(gradient, recomputed);
        Assert.All(sinks, sink => Assert.Equal(gradient, sink.Gradient));
    }

    [Fact]
    public void Linear_modules_in_four_bits_take_a_seventh_of_fp32()
    {
        using var full = new TinyLlama();
        using var four = new TinyLlama(quantization: Settings);
        var linear = full.Spec.Linears.Where(module => module.Layer < full.Spec.LayerCount).Sum(module => (long)module.In * module.Out);

        var saved = full.Model.SizeBytes - four.Model.SizeBytes;

        Assert.InRange(saved, linear * 3.4, linear * 3.5);
    }

    private static FourBitMatrix Quantized(Noise weights, FourBitSettings settings) => FourBitMatrix.Read(new Quantizing(weights, settings), "w");

    // Rounding of a sum of so many products.
    private static void AssertClose(Tensor expected, Tensor actual, long terms)
    {
        var (left, right) = (HostMemory.Download(expected), HostMemory.Download(actual));
        Assert.Equal(left.Length, right.Length);
        Assert.All(left.Zip(right), pair => Assert.InRange(pair.Second - pair.First, -1e-6f * terms, 1e-6f * terms));
    }

    private sealed class Noise(long rows, long columns) : IWeightSource
    {
        public ImmutableArray<WeightInfo> Weights => [new("w", WeightType.Float32, [rows, columns])];

        public WeightInfo? Find(string name) => Weights[0];

        public void ReadFloat32(string name, Span<float> destination)
        {
            for (var index = 0; index < destination.Length; index++)
            {
                destination[index] = (float)(CounterRandom.Uniform(3, 1, (ulong)index) - 0.5);
            }
        }

        public void ReadRaw(string name, Span<byte> destination) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }

    private sealed class Quantizing(Noise source, FourBitSettings settings) : IFourBitWeights
    {
        public ImmutableArray<WeightInfo> Weights => source.Weights;

        public FourBitState? FindFourBit(string name) => FourBitTensor.EmptyState(Weights[0].Shape, WeightType.Float32, settings);

        public FourBitState ReadFourBit(string name, FourBitBytes bytes)
        {
            var values = new float[Weights[0].Length];
            source.ReadFloat32(name, values);
            return FourBitTensor.Quantize(values, Weights[0].Shape, WeightType.Float32, settings, bytes);
        }

        public WeightInfo? Find(string name) => source.Find(name);

        public void ReadFloat32(string name, Span<float> destination) => source.ReadFloat32(name, destination);

        public void ReadRaw(string name, Span<byte> destination) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}
