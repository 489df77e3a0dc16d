using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Adapters;

/// <summary>Attaches LoRA factors from a flat vector to the modules that the layout names.</summary>
internal sealed class LoraBuilder(ParameterLayout layout, AdapterSettings settings, ReadOnlyMemory<float> values, Device device)
{
    private readonly Dictionary<string, int> _unused = layout.Entries
        .Select((entry, index) => (entry.Name, index))
        .ToDictionary(pair => pair.Name, pair => pair.index, StringComparer.Ordinal);

    private readonly List<Tensor> _owned = [];

    /// <summary>The tensors made so far; the caller's to free.</summary>
    public ImmutableArray<Tensor> Owned => [.. _owned];

    /// <summary>The base's modules with the adapter on them.</summary>
    /// <exception cref="DistTuneException">The layout holds a tensor that fits no linear module.</exception>
    public DecoderModules Attach(DecoderModules modules)
    {
        var adapted = modules with
        {
            Layers = [.. modules.Layers.Select(Attach)],
            Head = Attach(modules.Head),
        };
        if (_unused.Count == 0)
        {
            return adapted;
        }

        _owned.ForEach(tensor => tensor.Dispose());
        throw new DistTuneException(
            FaultKind.Configuration,
            $"The adapter has the tensor '{_unused.Keys.Order(StringComparer.Ordinal).First()}', which fits no linear module of the base. Build the layout from this base.");
    }

    private LayerModules Attach(LayerModules layer) => layer with
    {
        QueryKeyValue = Attach(layer.QueryKeyValue),
        AttentionOutput = Attach(layer.AttentionOutput),
        GateUp = Attach(layer.GateUp),
        Down = Attach(layer.Down),
    };

    private Projection Attach(Projection projection)
    {
        var targets = projection.Modules
            .Select(module => (Module: module, A: Take(module, AdapterLayout.SuffixA), B: Take(module, AdapterLayout.SuffixB)))
            .Where(target => target is { A: not null, B: not null })
            .Select(target => (target.Module, A: target.A!.Value, B: target.B!.Value))
            .ToImmutableArray();
        return targets.IsEmpty ? projection : projection with { Lora = Factors(projection, targets) };
    }

    private LoraFactors Factors(Projection projection, ImmutableArray<(ModuleRows Module, int A, int B)> targets)
    {
        var ranks = targets.Sum(target => layout.Entries[target.A].Shape[0]);
        var stacked = torch.empty([ranks, projection.Weight.Columns], dtype: ScalarType.Float32, device: torch.CPU);
        var parts = ImmutableArray.CreateBuilder<LoraPart>(targets.Length);
        long offset = 0;
        foreach (var (module, a, b) in targets)
        {
            var rank = layout.Entries[a].Shape[0];
            Expect(layout.Entries[a], [rank, projection.Weight.Columns]);
            Expect(layout.Entries[b], [module.Rows, rank]);
            using (var rows = stacked.narrow(0, offset, rank))
            {
                Copy(layout.Entries[a], rows);
            }

            var up = torch.empty([module.Rows, rank], dtype: ScalarType.Float32, device: torch.CPU);
            Copy(layout.Entries[b], up);
            parts.Add(new LoraPart(a, b, offset, rank, module.Row, module.Rows, Own(up)));
            offset += rank;
        }

        return new LoraFactors(Own(stacked), parts.MoveToImmutable(), (float)settings.Scale);
    }

    private static void Expect(ParameterEntry entry, ReadOnlySpan<long> shape)
    {
        if (!entry.Shape.AsSpan().SequenceEqual(shape))
        {
            throw new DistTuneException(FaultKind.Configuration, $"The adapter's '{entry.Name}' has shape [{string.Join(", ", entry.Shape)}]; the base's module needs [{string.Join(", ", shape.ToArray())}]. Build the layout from this base.");
        }
    }

    private int? Take(ModuleRows module, string suffix) =>
        _unused.Remove($"{AdapterLayout.Prefix}{module.Name}{suffix}", out var entry) ? entry : null;

    private void Copy(ParameterEntry entry, Tensor destination) =>
        MemoryMarshal.AsBytes(values.Span.Slice(checked((int)entry.Offset), checked((int)entry.Length))).CopyTo(destination.bytes);

    private Tensor Own(Tensor host)
    {
        host.DetachFromDisposeScope();
        if (device.type != DeviceType.CPU)
        {
            var moved = host.to(device);
            moved.DetachFromDisposeScope();
            host.Dispose();
            host = moved;
        }

        _owned.Add(host);
        return host;
    }
}
