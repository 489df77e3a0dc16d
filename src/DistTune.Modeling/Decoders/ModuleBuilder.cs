using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Models;
using DistTune.Modeling.Quantization;

namespace DistTune.Modeling.Decoders;

/// <summary>Where the values of a decoder's weights come from.</summary>
internal interface IWeightValues
{
    /// <summary>Fills a contiguous tensor in host memory with the weight of that name.</summary>
    void Fill(string name, Tensor destination);

    /// <summary>The weight in four bits; null if it is to be held as it is. The caller's to free.</summary>
    FourBitMatrix? ReadFourBit(string name);

    /// <summary>Index of the weight in the parameter layout if it is trained itself, else null.</summary>
    int? EntryOf(string name);
}

/// <summary>
/// Puts the weights that a <see cref="DecoderSpec"/> lists into modules, those with the same input into one matrix. Every weight of
/// the description finds its one place here, or building fails.
/// </summary>
internal sealed class ModuleBuilder(DecoderSpec spec, ScalarType type, Device device, IWeightValues values)
{
    private readonly Dictionary<string, WeightSpec> _homeless = spec.Weights.ToDictionary(weight => weight.Name, StringComparer.Ordinal);
    private readonly List<Tensor> _owned = [];

    /// <summary>Builds all modules; the tensors in <c>Owned</c> are the caller's to free.</summary>
    /// <exception cref="DistTuneException">The description lacks a weight that the decoder needs, or has one that it does not know.</exception>
    public (DecoderModules Modules, ImmutableArray<Tensor> Owned) Build()
    {
        var complete = false;
        try
        {
            var modules = BuildModules();
            complete = _homeless.Count == 0;
            return complete
                ? (modules, [.. _owned])
                : throw Fault($"The description of the base has the weight '{_homeless.Keys.Order(StringComparer.Ordinal).First()}', which the decoder has no place for");
        }
        finally
        {
            if (!complete)
            {
                _owned.ForEach(tensor => tensor.Dispose());
            }
        }
    }

    private static DistTuneException Fault(string problem) =>
        new(FaultKind.InvalidFile, $"{problem}. Check that config.json belongs to these weights.");

    private DecoderModules BuildModules()
    {
        const string embeddingName = "model.embed_tokens.weight";
        var embedding = Matrix([embeddingName]);
        var embeddingEntry = values.EntryOf(embeddingName);
        var layers = Enumerable.Range(0, spec.LayerCount).Select(Layer).ToImmutableArray();
        var finalNorm = Norm("model.norm.weight");
        var head = spec.TiedHead
            ? new Projection(new DenseMatrix(embedding), null, [new ModuleRows("lm_head", 0, spec.VocabularySize)])
            {
                TrainedWeight = embeddingEntry is { } entry ? [new TrainedRows(entry, 0, spec.VocabularySize)] : [],
            }
            : Fused(spec.LayerCount, "lm_head");
        return new DecoderModules(embedding, embeddingEntry, layers, finalNorm, head);
    }

    private LayerModules Layer(int layer)
    {
        var modules = new LayerModules(
            LayerNorm(layer, "input_layernorm"),
            Fused(layer, "q_proj", "k_proj", "v_proj", "qkv_proj"),
            Fused(layer, "o_proj"),
            LayerNorm(layer, spec.PostNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm"),
            Fused(layer, "gate_proj", "up_proj", "gate_up_proj"),
            Fused(layer, "down_proj"));
        return modules with
        {
            QueryNorm = spec.QueryKeyNorm ? LayerNorm(layer, "self_attn.q_norm") : null,
            KeyNorm = spec.QueryKeyNorm ? LayerNorm(layer, "self_attn.k_norm") : null,
            AttentionPostNorm = spec.PostNorms ? LayerNorm(layer, "post_attention_layernorm") : null,
            FeedForwardPostNorm = spec.PostNorms ? LayerNorm(layer, "post_feedforward_layernorm") : null,
        };
    }

    private Gain LayerNorm(int layer, string name) => Norm($"model.layers.{layer}.{name}.weight");

    private Gain Norm(string name) => new(Allocate(name, ScalarType.Float32), values.EntryOf(name)) { Module = name[..name.LastIndexOf('.')] };

    /// <summary>One projection of the layer's linear modules with these last names, in the order of the names.</summary>
    private Projection Fused(int layer, params string[] lastNames)
    {
        var linears = lastNames
            .SelectMany(last => spec.Linears.Where(module => module.Layer == layer && (module.Name == last || module.Name.EndsWith($".{last}", StringComparison.Ordinal))))
            .ToImmutableArray();
        if (linears.IsEmpty)
        {
            throw Fault($"Layer {layer} of the base has no linear module named {string.Join(" or ", lastNames)}");
        }

        var modules = ImmutableArray.CreateBuilder<ModuleRows>();
        var weights = ImmutableArray.CreateBuilder<TrainedRows>();
        var biases = ImmutableArray.CreateBuilder<TrainedRows>();
        long row = 0;
        foreach (var linear in linears)
        {
            modules.Add(new ModuleRows(linear.Name, row, linear.Out));
            AddTrained(weights, $"{linear.Name}.weight", row, linear.Out);
            AddTrained(biases, $"{linear.Name}.bias", row, linear.Out);
            row += linear.Out;
        }

        var weight = Stored([.. linears.Select(linear => $"{linear.Name}.weight")]);
        var bias = Bias(linears, row);
        return new Projection(weight, bias, modules.ToImmutable()) { TrainedWeight = weights.ToImmutable(), TrainedBias = biases.ToImmutable() };
    }

    private void AddTrained(ImmutableArray<TrainedRows>.Builder rows, string name, long row, long count)
    {
        if (values.EntryOf(name) is { } entry)
        {
            rows.Add(new TrainedRows(entry, row, count));
        }
    }

    /// <summary>The matrices of these names, one below the other, each held as its values come.</summary>
    private FrozenMatrix Stored(ImmutableArray<string> names)
    {
        var quantized = names.Select(values.ReadFourBit).ToImmutableArray();
        _owned.AddRange(quantized.OfType<FourBitMatrix>().SelectMany(matrix => matrix.Parts));
        if (quantized.All(matrix => matrix is null))
        {
            return new DenseMatrix(Matrix(names));
        }

        var parts = names.Zip(quantized, (name, matrix) => matrix is null ? new DenseMatrix(Matrix([name])) : Placed(name, matrix)).ToImmutableArray();
        return parts.Length == 1 ? parts[0] : new StackedMatrix(parts);
    }

    private FrozenMatrix Placed(string name, FourBitMatrix matrix) => Home(name).Shape is [var rows, var columns] && rows == matrix.Rows && columns == matrix.Columns
        ? matrix
        : throw Fault($"The weight '{name}' has shape [{matrix.Rows}, {matrix.Columns}]; the description of the base says otherwise");

    /// <summary>The matrices of these names, one below the other.</summary>
    private Tensor Matrix(ImmutableArray<string> names)
    {
        var shapes = names.Select(name => Home(name).Shape).ToImmutableArray();
        var host = torch.empty([shapes.Sum(shape => shape[0]), shapes[0][1]], dtype: type, device: torch.CPU);
        long row = 0;
        for (var index = 0; index < names.Length; index++)
        {
            using var rows = host.narrow(0, row, shapes[index][0]);
            values.Fill(names[index], rows);
            row += shapes[index][0];
        }

        return Own(host);
    }

    private Tensor? Bias(ImmutableArray<LinearModule> linears, long length)
    {
        if (!linears.Any(linear => linear.HasBias))
        {
            return null;
        }

        var host = torch.zeros([length], dtype: ScalarType.Float32, device: torch.CPU);
        long row = 0;
        foreach (var linear in linears)
        {
            if (linear.HasBias)
            {
                Home($"{linear.Name}.bias");
                using var rows = host.narrow(0, row, linear.Out);
                values.Fill($"{linear.Name}.bias", rows);
            }

            row += linear.Out;
        }

        return Own(host);
    }

    private Tensor Allocate(string name, ScalarType storage)
    {
        var host = torch.empty([.. Home(name).Shape], dtype: storage, device: torch.CPU);
        values.Fill(name, host);
        return Own(host);
    }

    private WeightSpec Home(string name) =>
        _homeless.Remove(name, out var weight) ? weight : throw Fault($"The decoder needs the weight '{name}', which the description of the base lacks");

    private Tensor Own(Tensor host)
    {
        // Weights outlive every scope they may be built in.
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
