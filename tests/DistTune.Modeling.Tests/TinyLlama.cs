using System.Collections.Immutable;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Modeling.Tests;

/// <summary>The golden Llama with an adapter whose every factor is non-zero, and rows of uneven length to train on.</summary>
internal sealed class TinyLlama : IDisposable
{
    /// <summary>Loads a golden model.</summary>
    public TinyLlama(string name = "llama-tiny", AdapterSettings? settings = null, BasePrecision precision = BasePrecision.Float32, FourBitSettings? quantization = null)
    {
        var folder = GoldenFolder.Path("models", name);
        Spec = ModelFamilies.Describe(folder);
        using var full = WeightSources.Open(folder);
        using var weights = quantization is null ? full : new QuantizingWeights(full, Spec, quantization, ownsSource: false);
        Model = BaseModel.Load(weights, Spec, precision, keepsFourBit: quantization is not null);
        Settings = settings ?? new AdapterSettings(AdapterKind.Lora, 4, 8, ["all-linear"]);
        Layout = AdapterLayout.Create(Spec, Settings);
        Fresh = AdapterHash.Version(AdapterInitialization.Create(Layout, Settings, seed: 7, weights: full));
        Trained = AdapterHash.Version(Perturbed(Fresh.Values.Span));
    }

    public DecoderSpec Spec { get; }

    public BaseModel Model { get; }

    public AdapterSettings Settings { get; }

    public ParameterLayout Layout { get; }

    /// <summary>As training starts: every B is zero.</summary>
    public AdapterVersion Fresh { get; }

    /// <summary>As if after some steps.</summary>
    public AdapterVersion Trained { get; }

    /// <summary>A segment of the given length whose tokens follow from the sample; all but the first few are trained.</summary>
    public Segment Segment(int length, long sample, int prompt = 2)
    {
        var tokens = Enumerable.Range(0, length).Select(position => (int)(((sample * 131) + (position * 37) + 11) % Spec.VocabularySize)).ToImmutableArray();
        return new Segment(tokens, prompt < length ? [new LabelSpan(prompt, length)] : [], sample);
    }

    public GroupSpec Group(int index, params ImmutableArray<Segment>[] microBatches) =>
        new("test", 0, index, GroupKind.Train, [.. microBatches.Select(segments => new MicroBatch(segments))]);

    public GroupSpec UnevenGroup(int index = 0) => Group(index, [Segment(17, index), Segment(5, index + 100), Segment(9, index + 200)]);

    public TorchGroupComputer Computer(bool gradientCheckpointing = false, int lanes = 1) => new(Model, Layout, Settings, gradientCheckpointing, lanes);

    /// <summary>Loss sum and gradient of a group.</summary>
    public async Task<(double LossSum, float[] Gradient)> ComputeAsync(GroupSpec group, AdapterVersion? version = null, bool gradientCheckpointing = false)
    {
        await using var computer = Computer(gradientCheckpointing);
        var sink = new RecordingSink(Layout);
        var outcome = await computer.ComputeAsync(group, version ?? Trained, sink, TestContext.Current.CancellationToken);
        return (outcome.LossSum, sink.Gradient);
    }

    public void Dispose() => Model.Dispose();

    private float[] Perturbed(ReadOnlySpan<float> values)
    {
        var result = values.ToArray();
        foreach (var entry in Layout.Entries)
        {
            for (var index = 0; index < entry.Length; index++)
            {
                result[entry.Offset + index] += 0.03f * MathF.Sin(entry.Offset + (1.7f * index));
            }
        }

        return result;
    }
}
