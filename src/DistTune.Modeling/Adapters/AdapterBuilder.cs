// Shapes: D width, V vocabulary, R rank.
using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Adapters;

/// <summary>Puts adapters on the modules of a base. The base's own tensors are shared, never changed.</summary>
internal sealed class AdapterBuilder
{
    private readonly ImmutableArray<AdapterTensors> _adapters;
    private readonly OwnedTensors _owned;
    private readonly ProjectionAdapter _projections;

    /// <summary>Makes ready to put these adapters on a base.</summary>
    public AdapterBuilder(IEnumerable<LoadedAdapter> adapters, Device device)
    {
        _adapters = [.. adapters.Select(adapter => new AdapterTensors(adapter))];
        _owned = new OwnedTensors(device);
        _projections = new ProjectionAdapter(_adapters, _owned);
    }

    /// <summary>The tensors made so far; the caller's to free.</summary>
    public ImmutableArray<Tensor> Owned => _owned.All;

    /// <summary>The base's modules with the adapters on them.</summary>
    /// <exception cref="DistTuneException">An adapter holds a tensor that fits no module, or the adapters cannot be active together.</exception>
    public DecoderModules Attach(DecoderModules modules)
    {
        var complete = false;
        try
        {
            var adapted = AttachEmbedding(modules with
            {
                Layers = [.. modules.Layers.Select(Attach)],
                FinalNorm = Attach(modules.FinalNorm)!,
                Head = _projections.Attach(modules.Head),
            });
            foreach (var adapter in _adapters)
            {
                adapter.RequireAllTaken();
            }

            complete = true;
            return adapted;
        }
        finally
        {
            if (!complete)
            {
                _owned.Dispose();
            }
        }
    }

    private LayerModules Attach(LayerModules layer) => layer with
    {
        AttentionNorm = Attach(layer.AttentionNorm)!,
        QueryNorm = Attach(layer.QueryNorm),
        KeyNorm = Attach(layer.KeyNorm),
        AttentionPostNorm = Attach(layer.AttentionPostNorm),
        FeedForwardNorm = Attach(layer.FeedForwardNorm)!,
        FeedForwardPostNorm = Attach(layer.FeedForwardPostNorm),
        QueryKeyValue = _projections.Attach(layer.QueryKeyValue),
        AttentionOutput = _projections.Attach(layer.AttentionOutput),
        GateUp = _projections.Attach(layer.GateUp),
        Down = _projections.Attach(layer.Down),
    };

    private Gain? Attach(Gain? gain) => gain is not null && _projections.TakeSaved(gain.Module, TensorRole.Weight) is { } saved
        ? gain with { Value = _owned.Add(saved.Adapter.Copy(saved.Entry, gain.Value.shape)), Entry = saved.Index }
        : gain;

    private DecoderModules AttachEmbedding(DecoderModules modules)
    {
        long[] shape = modules.Embedding.shape;
        var adapters = ImmutableArray.CreateBuilder<EmbeddingLora>();
        foreach (var adapter in _adapters)
        {
            if (adapter.Take(BaseModules.Embedding, TensorRole.EmbeddingA) is { } a && adapter.Take(BaseModules.Embedding, TensorRole.EmbeddingB) is { } b)
            {
                var rank = a.Entry.Shape[0];
                var scale = (float)(adapter.Settings.ScaleOf(BaseModules.Embedding) * adapter.Weight);
                var lora = new EmbeddingLora(a.Index, b.Index, _owned.Add(adapter.Copy(a.Entry, rank, shape[0])), _owned.Add(adapter.Copy(b.Entry, shape[1], rank)), scale);
                adapters.Add(adapter.Take(BaseModules.Embedding, TensorRole.Magnitude) is { } magnitude ? lora with { Dora = Scales(modules.Embedding, lora, magnitude) } : lora);
            }
        }

        if (adapters.Count > 1 && adapters.Any(lora => lora.Dora is not null))
        {
            throw new DistTuneException(FaultKind.Configuration, $"Several of the active adapters are on '{BaseModules.Embedding}', one of them with DoRA, whose scale holds for itself alone. Activate one of them.");
        }

        modules = modules with { EmbeddingLora = adapters.ToImmutable() };
        if (_projections.TakeSaved(BaseModules.Embedding, TensorRole.Weight) is not { } saved)
        {
            return modules;
        }

        var copy = _owned.Add(saved.Adapter.Copy(saved.Entry, shape));
        modules = modules with { Embedding = copy, EmbeddingEntry = saved.Index };
        return saved.Entry.Aliases.IsEmpty
            ? modules
            : modules with { Head = modules.Head with { Weight = new DenseMatrix(copy), TrainedWeight = [new TrainedRows(saved.Index, 0, shape[0])] } };
    }

    private DimensionScales Scales(Tensor embedding, EmbeddingLora lora, TrainedTensor magnitude)
    {
        using var scope = torch.NewDisposeScope();
        var lengths = _owned.Add(ColumnLengths.Of(embedding, lora.A, lora.B, lora.Scale));
        var factors = _owned.Add(magnitude.Adapter.Copy(magnitude.Entry, lora.B.shape[0]).to(lengths.device).div_(lengths));
        return new DimensionScales(factors, lengths, magnitude.Index);
    }
}
