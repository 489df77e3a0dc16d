// Shapes: T rows, in and out features, R rank.
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTune.Modeling.Tests;

/// <summary>DoRA with dropout against PEFT's formula, differentiated by libtorch in double precision.</summary>
public sealed class DoraDropoutTests
{
    private const int Rows = 9;
    private const int Width = 13;
    private const float Scale = 0.75f;

    // Two adapted modules and one between them that is not, of one projection.
    private static readonly (long Row, long Count, long Rank, int Entry)[] Modules = [(0, 6, 3, 0), (10, 5, 2, 3)];
    private const long Height = 15;

    [Fact]
    public void Output_and_gradients_are_those_of_the_formula()
    {
        using var scope = NewDisposeScope();
        manual_seed(5);
        var weight = randn([Height, Width], ScalarType.Float64);
        var bias = randn([Height], ScalarType.Float64);
        var x = randn([Rows, Width], ScalarType.Float64);
        var gradient = randn([Rows, Height], ScalarType.Float64);
        var dropout = LoraDropout.OfSegments([new Segment([.. Enumerable.Range(0, Rows)], [], 2)], 0.4, seed: 3, step: 1);
        var parts = Modules.Select(module => new Part(module, weight)).ToArray();
        var (expected, expectedX) = Formula(weight, bias, x, gradient, parts, dropout);

        var kernels = new TorchKernels();
        var projection = Projection(weight, bias, parts);
        var gradients = new Collected();
        var (y, trace) = kernels.Linear(x, projection, residual: null, dropout);
        var again = kernels.LinearTrace(x, projection, dropout)!;
        var result = kernels.LinearBackward(gradient, projection, x, trace, inputGradient: true, gradients, dropout)!;

        Close(expected, y);
        Close(expectedX, result);
        Close(trace!.Unscaled!, again.Unscaled!);
        foreach (var part in parts)
        {
            Close(part.A.grad!, gradients.Of[part.Entry]);
            Close(part.B.grad!, gradients.Of[part.Entry + 1]);
            Close(part.Magnitude.grad!, gradients.Of[part.Entry + 2]);
        }
    }

    private static (Tensor Y, Tensor XGradient) Formula(Tensor weight, Tensor bias, Tensor x, Tensor gradient, Part[] parts, LoraDropout dropout)
    {
        var input = x.clone().requires_grad_();
        var blocks = new List<Tensor>();
        long row = 0;
        foreach (var part in parts)
        {
            Plain(part.Row);
            var rows = weight.narrow(0, part.Row, part.Count);
            var dropped = input * dropout.Apply(ones_like(x), part.Stream);
            var lora = Scale * dropped.mm(part.A.t()).mm(part.B.t());
            var c = part.Magnitude / part.Lengths;
            blocks.Add(input.mm(rows.t()) + bias.narrow(0, part.Row, part.Count) + ((c - 1) * dropped.mm(rows.t())) + (c * lora));
            row = part.Row + part.Count;
        }

        Plain(Height);
        var y = cat([.. blocks], 1);
        y.backward([gradient]);
        return (y.detach(), input.grad!);

        void Plain(long until)
        {
            if (until > row)
            {
                blocks.Add(input.mm(weight.narrow(0, row, until - row).t()) + bias.narrow(0, row, until - row));
            }
        }
    }

    private static Projection Projection(Tensor weight, Tensor bias, Part[] parts)
    {
        using var noGradients = no_grad();
        var factors = ones([Height], ScalarType.Float64);
        var lengths = ones([Height], ScalarType.Float64);
        var lora = new List<LoraPart>();
        long rank = 0;
        foreach (var part in parts)
        {
            lengths.narrow(0, part.Row, part.Count).copy_(part.Lengths);
            factors.narrow(0, part.Row, part.Count).copy_(part.Magnitude / part.Lengths);
            lora.Add(new LoraPart(part.Entry, part.Entry + 1, rank, part.Rank, part.Row, part.Count, part.B.detach(), Scale) { DropoutStream = part.Stream });
            rank += part.Rank;
        }

        return new Projection(new DenseMatrix(weight), bias, [new ModuleRows("first", 0, 6), new ModuleRows("between", 6, 4), new ModuleRows("last", 10, 5)])
        {
            Lora = new LoraFactors(cat([.. parts.Select(part => part.A.detach())]), [.. lora]),
            Dora = new RowScales(factors, lengths, [.. parts.Select(part => new TrainedRows(part.Entry + 2, part.Row, part.Count))]),
        };
    }

    // Double precision, sums of a dozen terms of about one.
    private static void Close(Tensor expected, Tensor actual) => Assert.InRange((expected.detach() - actual.to(ScalarType.Float64)).abs().max().ToDouble(), 0, 1e-12);

    private sealed class Part
    {
        public Part((long Row, long Count, long Rank, int Entry) module, Tensor weight)
        {
            (Row, Count, Rank, Entry) = module;
            A = randn([Rank, Width], ScalarType.Float64).requires_grad_();
            B = randn([Count, Rank], ScalarType.Float64).requires_grad_();
            Magnitude = rand([Count], ScalarType.Float64).add_(0.5).requires_grad_();
            // A constant to the derivative.
            Lengths = (weight.narrow(0, Row, Count) + (Scale * B.detach().mm(A.detach()))).square().sum(1).sqrt();
        }

        public long Row { get; }

        public long Count { get; }

        public long Rank { get; }

        public int Entry { get; }

        public ulong Stream => 77 + (ulong)Row;

        public Tensor A { get; }

        public Tensor B { get; }

        public Tensor Magnitude { get; }

        public Tensor Lengths { get; }
    }

    private sealed class Collected : IParameterGradients
    {
        public Dictionary<int, Tensor> Of { get; } = [];

        public void Add(int entry, Tensor gradient) => Of.Add(entry, gradient.clone().MoveToOuterDisposeScope());
    }
}
