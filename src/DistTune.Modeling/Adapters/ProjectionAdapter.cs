// Shapes: in and out features, R rank.
using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Adapters;

/// <summary>Puts adapters on the modules that stand in a projection.</summary>
internal sealed class ProjectionAdapter(ImmutableArray<AdapterTensors> adapters, OwnedTensors owned)
{
    /// <summary>The projection with whatever the adapters have for its modules.</summary>
    /// <exception cref="DistTuneException">Adapters that are active together both replace something.</exception>
    public Projection Attach(Projection projection)
    {
        projection = AttachBias(AttachWeight(projection));
        var parts = projection.Modules.SelectMany(module => adapters.Select(adapter => Factors.Take(adapter, module))).OfType<Factors>().ToImmutableArray();
        if (parts.IsEmpty)
        {
            return projection;
        }

        projection = projection with { Lora = Stack(parts, projection.Weight.Columns) };
        return AttachDora(projection, parts);
    }

    /// <summary>A tensor that stands in for one of the base's own; only one adapter may bring it.</summary>
    public TrainedTensor? TakeSaved(string module, TensorRole role)
    {
        TrainedTensor? found = null;
        foreach (var adapter in adapters)
        {
            if (adapter.Take(module, role) is { } tensor)
            {
                found = found is null
                    ? tensor
                    : throw new DistTuneException(FaultKind.Configuration, $"Two of the active adapters bring a '{tensor.Entry.Name}' of their own, and only one can stand in for the base's. Activate one of them.");
            }
        }

        return found;
    }

    private Projection AttachWeight(Projection projection)
    {
        var saved = projection.Modules.Select(module => (Module: module, Tensor: TakeSaved(module.Name, TensorRole.Weight))).Where(pair => pair.Tensor is not null).ToArray();
        if (saved.Length == 0)
        {
            return projection;
        }

        // Modules that share the matrix and are not trained are copied with it.
        var (rows, columns) = (projection.Weight.Rows, projection.Weight.Columns);
        var copy = owned.Add(torch.empty([rows, columns], dtype: ScalarType.Float32));
        foreach (var module in projection.Modules.Except(saved.Select(pair => pair.Module)))
        {
            using var scope = torch.NewDisposeScope();
            copy.narrow(0, module.Row, module.Rows).copy_(projection.Weight.RowBlock(module.Row, module.Rows, ScalarType.Float32));
        }

        foreach (var (module, tensor) in saved)
        {
            Replace(copy, module, tensor!.Value, [module.Rows, columns]);
        }

        return projection with { Weight = new DenseMatrix(copy), TrainedWeight = Rows(saved) };
    }

    private Projection AttachBias(Projection projection)
    {
        var saved = projection.Modules.Select(module => (Module: module, Tensor: TakeSaved(module.Name, TensorRole.Bias))).Where(pair => pair.Tensor is not null).ToArray();
        if (saved.Length == 0)
        {
            return projection;
        }

        var copy = owned.Add(projection.Bias is { } bias ? bias.clone() : torch.zeros([projection.Weight.Rows], dtype: ScalarType.Float32));
        foreach (var (module, tensor) in saved)
        {
            Replace(copy, module, tensor!.Value, [module.Rows]);
        }

        return projection with { Bias = copy, TrainedBias = Rows(saved) };
    }

    private static ImmutableArray<TrainedRows> Rows((ModuleRows Module, TrainedTensor? Tensor)[] saved) =>
        [.. saved.Select(pair => new TrainedRows(pair.Tensor!.Value.Index, pair.Module.Row, pair.Module.Rows))];

    private static void Replace(Tensor copy, ModuleRows module, TrainedTensor tensor, ReadOnlySpan<long> shape)
    {
        using var scope = torch.NewDisposeScope();
        copy.narrow(0, module.Row, module.Rows).copy_(tensor.Adapter.Copy(tensor.Entry, shape));
    }

    private LoraFactors Stack(ImmutableArray<Factors> factors, long columns)
    {
        var stacked = owned.Add(torch.empty([factors.Sum(part => part.Rank), columns], dtype: ScalarType.Float32));
        var parts = ImmutableArray.CreateBuilder<LoraPart>(factors.Length);
        long offset = 0;
        foreach (var part in factors)
        {
            using (var scope = torch.NewDisposeScope())
            {
                stacked.narrow(0, offset, part.Rank).copy_(part.A.Adapter.Copy(part.A.Entry, part.Rank, columns));
            }

            var module = part.Module;
            parts.Add(new LoraPart(part.A.Index, part.B.Index, offset, part.Rank, module.Row, module.Rows, owned.Add(part.A.Adapter.Copy(part.B.Entry, module.Rows, part.Rank)), part.Scale)
            {
                Bias = part.Bias is { } bias ? (owned.Add(bias.Adapter.Copy(bias.Entry, module.Rows)), bias.Index) : null,
                DropoutStream = CounterRandom.Stream(module.Name),
            });
            offset += part.Rank;
        }

        return new LoraFactors(stacked, parts.MoveToImmutable());
    }

    private Projection AttachDora(Projection projection, ImmutableArray<Factors> factors)
    {
        var scaled = factors.Where(part => part.Magnitude is not null).ToArray();
        if (scaled.Length == 0)
        {
            return projection;
        }

        if (scaled.FirstOrDefault(part => factors.Count(other => other.Module == part.Module) > 1) is { } both)
        {
            throw new DistTuneException(FaultKind.Configuration, $"Several of the active adapters are on '{both.Module.Name}', one of them with DoRA, whose scale holds for its own rows alone. Activate one of them.");
        }

        var rows = projection.Weight.Rows;
        var lengths = owned.Add(torch.ones([rows], dtype: ScalarType.Float32));
        var scales = owned.Add(torch.ones([rows], dtype: ScalarType.Float32));
        foreach (var part in scaled)
        {
            using var scope = torch.NewDisposeScope();
            var lora = projection.Lora!.Parts.First(candidate => candidate.EntryB == part.B.Index && candidate.Row == part.Module.Row);
            var own = lengths.narrow(0, part.Module.Row, part.Module.Rows);
            own.copy_(RowLengths.Of(projection.Weight, projection.Lora.StackedA, lora));
            var magnitude = part.Magnitude!.Value;
            scales.narrow(0, part.Module.Row, part.Module.Rows).copy_(magnitude.Adapter.Copy(magnitude.Entry, part.Module.Rows).to(own.device).div_(own));
        }

        return projection with
        {
            Dora = new RowScales(scales, lengths, [.. scaled.Select(part => new TrainedRows(part.Magnitude!.Value.Index, part.Module.Row, part.Module.Rows))]),
        };
    }

    /// <summary>What an adapter has for a module.</summary>
    private sealed record Factors(ModuleRows Module, TrainedTensor A, TrainedTensor B, TrainedTensor? Bias, TrainedTensor? Magnitude)
    {
        public long Rank => A.Entry.Shape[0];

        public float Scale => (float)(A.Adapter.Settings.ScaleOf(Module.Name) * A.Adapter.Weight);

        public static Factors? Take(AdapterTensors adapter, ModuleRows module) =>
            adapter.Take(module.Name, TensorRole.LoraA) is { } a && adapter.Take(module.Name, TensorRole.LoraB) is { } b
                ? new Factors(module, a, b, adapter.Take(module.Name, TensorRole.LoraBias), adapter.Take(module.Name, TensorRole.Magnitude))
                : null;
    }
}
