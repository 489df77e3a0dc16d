namespace DistTune.Modeling.Loralib;

/// <summary>Rows of E + (alpha / r) (B A)^T, with A [r, count] and B [dim, r]. A starts at zero and B does not, as in loralib.</summary>
public sealed class Embedding : LoraLayer
{
    private readonly Tensor? _a;
    private readonly Tensor? _b;

    /// <summary>Makes a layer.</summary>
    /// <param name="count">Number of rows, such as the vocabulary's size.</param>
    /// <param name="dimension">Width of a row.</param>
    /// <param name="options">Rank and the like.</param>
    public Embedding(long count, long dimension, LoraOptions options)
        : base(options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(dimension, 1);
        Weight = Register("weight", InitialValues.Normal(options.Seed, "weight", count, dimension));
        if (HasLora)
        {
            _a = Register("lora_A", torch.zeros([options.Rank, count], ScalarType.Float32));
            _b = Register("lora_B", InitialValues.Normal(options.Seed, "lora_B", dimension, options.Rank));
            Weight.requires_grad = false;
        }
    }

    /// <inheritdoc/>
    public override Tensor Weight { get; }

    /// <summary>The rows of the ids.</summary>
    /// <param name="x">Ids (int64) of any shape.</param>
    /// <returns>That shape and the width.</returns>
    public override Tensor Forward(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        var ids = x.reshape(-1);
        var rows = Weight.index_select(0, ids);
        if (HasLora && !Merged)
        {
            rows = Add(rows, _a!.t().index_select(0, ids).mm(_b!.t()));
        }

        return rows.view([.. x.shape, rows.shape[1]]);
    }

    /// <inheritdoc/>
    protected override Tensor Delta() => _b!.mm(_a!).t();
}
