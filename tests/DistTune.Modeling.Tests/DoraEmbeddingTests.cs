// Shapes: T rows, V vocabulary, D width, R rank.
using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Training;
using DistTune.Modeling.Adapters;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;
using DistTune.Modeling.Merging;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTune.Modeling.Tests;

/// <summary>DoRA on the embedding against PEFT's formula: m / n * (E[x] + s A[:, x]^T B^T), n being the length of a column of E + s (B A)^T.</summary>
public sealed class DoraEmbeddingTests
{
    private const int Vocabulary = 11;
    private const int Width = 5;
    private const int Rank = 3;
    private const float Scale = 0.5f;

    private static readonly AdapterSettings Settings = new(AdapterKind.Lora, 4, 8, ["embed_tokens", "q_proj"]) { Dora = true };

    [Fact]
    public void Rows_and_gradients_are_those_of_the_formula()
    {
        using var scope = NewDisposeScope();
        manual_seed(4);
        var embedding = randn([Vocabulary, Width], ScalarType.Float64);
        var a = randn([Rank, Vocabulary], ScalarType.Float64).requires_grad_();
        var b = randn([Width, Rank], ScalarType.Float64).requires_grad_();
        var magnitude = rand([Width], ScalarType.Float64).add_(0.5).requires_grad_();
        var ids = tensor(new long[] { 3, 0, 3, 10, 7 });
        var gradient = randn([5, Width], ScalarType.Float64);
        // A constant to the derivative.
        var lengths = (embedding + (Scale * b.detach().mm(a.detach()).t())).square().sum(dim: 0).sqrt();
        var expected = magnitude / lengths * (embedding.index_select(0, ids) + (Scale * a.index_select(1, ids).t().mm(b.t())));
        expected.backward([2 * gradient]);

        var modules = new DecoderModules(embedding, null, [], null!, null!)
        {
            EmbeddingLora = [new EmbeddingLora(0, 1, a.detach(), b.detach(), Scale) { Dora = new DimensionScales((magnitude / lengths).detach(), lengths, 2) }],
        };
        var gradients = new Collected();
        var rows = EmbeddingRows.Of(modules, ids, ScalarType.Float64);
        EmbeddingRows.Backward(modules, ids, gradient, scale: 2, gradients);

        Close(expected, rows, 1e-12);
        Close(a.grad!, gradients.Of[0], 1e-12);
        Close(b.grad!, gradients.Of[1], 1e-12);
        Close(magnitude.grad!, gradients.Of[2], 1e-12);
        // Fp32 against fp64.
        Close(lengths, ColumnLengths.Of(embedding, a.detach().to(ScalarType.Float32), b.detach().to(ScalarType.Float32), Scale), 1e-5);
    }

    [Fact]
    public async Task It_starts_as_the_base_and_its_gradient_is_that_of_the_loss()
    {
        using var dora = new TinyLlama(settings: Settings);
        using var plain = new TinyLlama(settings: Settings with { Dora = false });
        var (start, _) = await dora.ComputeAsync(dora.UnevenGroup(), dora.Fresh);
        var (unadapted, _) = await plain.ComputeAsync(plain.UnevenGroup(), plain.Fresh);

        var (_, gradient) = await dora.ComputeAsync(dora.UnevenGroup());

        Assert.Equal(unadapted, start, 1e-3);
        // A length is a constant to the derivative, so that only magnitudes have the slope of the loss itself.
        var magnitudes = dora.Layout.Entries.Single(entry => entry is { Module: BaseModules.Embedding, Role: TensorRole.Magnitude });
        var direction = new float[gradient.Length];
        gradient.AsSpan((int)magnitudes.Offset, (int)magnitudes.Length).CopyTo(direction.AsSpan((int)magnitudes.Offset));
        var slope = direction.Sum(value => (double)value * value);
        var step = (float)(0.02 / Math.Sqrt(slope));
        var (up, _) = await dora.ComputeAsync(dora.UnevenGroup(), Moved(dora, direction, step));
        var (down, _) = await dora.ComputeAsync(dora.UnevenGroup(), Moved(dora, direction, -step));
        Assert.Equal(1, (up - down) / (2 * step * slope), 0.02);
    }

    [Fact]
    public void A_merged_model_computes_as_base_and_adapter()
    {
        using var tiny = new TinyLlama(settings: Settings);
        var folder = Directory.CreateTempSubdirectory("disttune-dora-");
        try
        {
            var (model, adapter, merged) = (GoldenFolder.Path("models", "llama-tiny"), Path.Combine(folder.FullName, "adapter"), Path.Combine(folder.FullName, "merged"));
            PeftAdapter.Save(adapter, tiny.Layout, tiny.Trained.Values, tiny.Settings, "llama-tiny");

            ModelMerge.Write(model, AdapterFolder.Load(adapter), merged, new MergeOptions(), verify: null, TestContext.Current.CancellationToken);

            var difference = MergeCheck.Compare(model, adapter, merged);
            Assert.True(difference.IsWithinBound, $"{difference.Share} of the largest logit");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static AdapterVersion Moved(TinyLlama tiny, float[] direction, float scale) =>
        AdapterHash.Version(tiny.Trained.Values.ToArray().Zip(direction, (value, d) => value + (scale * d)).ToArray());

    private static void Close(Tensor expected, Tensor actual, double tolerance) =>
        Assert.InRange((expected.detach() - actual.to(ScalarType.Float64)).abs().max().ToDouble(), 0, tolerance);

    private sealed class Collected : IParameterGradients
    {
        public Dictionary<int, Tensor> Of { get; } = [];

        public void Add(int entry, Tensor gradient) => Of.Add(entry, gradient.clone().MoveToOuterDisposeScope());
    }
}
