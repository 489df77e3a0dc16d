namespace DistTune.Core.Models;

/// <summary>What Gemma 2 and Gemma 3 have in common.</summary>
internal static class Gemma
{
    private const int DefaultHeadDimension = 256;
    private const double DefaultQueryScalar = 256;

    /// <summary>Describes a Gemma without its windows and without a cap on attention scores.</summary>
    public static DecoderSpec Read(ConfigReader reader, FamilyTraits own, double? logitSoftCap)
    {
        var attentionBias = reader.Flag("attention_bias", false);
        var spec = FamilyReader.Read(reader, own with
        {
            Biases = new ModuleBiases(attentionBias, attentionBias, FeedForward: false),
            PostNorms = true,
            OnePlusNorm = true,
            TiedHead = true,
            ActivationField = "hidden_activation",
            Activation = Activation.GeluTanh,
            HeadDimension = DefaultHeadDimension,
        });
        return spec with
        {
            EmbeddingScale = Math.Sqrt(spec.HiddenSize),
            AttentionScale = 1 / Math.Sqrt(reader.PositiveNumber("query_pre_attn_scalar", DefaultQueryScalar)),
            LogitSoftCap = Cap(reader, "final_logit_softcapping", logitSoftCap),
        };
    }

    /// <summary>A cap: null switches it off, absence leaves it to the family.</summary>
    public static double? Cap(ConfigReader reader, string name, double? otherwise) =>
        reader.Mentions(name) ? (reader.Has(name) ? reader.PositiveNumber(name) : null) : otherwise;
}
