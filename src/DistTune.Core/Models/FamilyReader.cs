using DistTune.Core.Quantization;

namespace DistTune.Core.Models;

/// <summary>Reads what the configurations of all families say in the same words; a family adds what is its own.</summary>
internal static class FamilyReader
{
    /// <summary>The names that Hugging Face has for each non-linearity.</summary>
    private static readonly Dictionary<string, Activation> Activations = new(StringComparer.Ordinal)
    {
        ["silu"] = Activation.Silu,
        ["swish"] = Activation.Silu,
        ["gelu"] = Activation.Gelu,
        ["gelu_python"] = Activation.Gelu,
        ["gelu_pytorch_tanh"] = Activation.GeluTanh,
        ["gelu_python_tanh"] = Activation.GeluTanh,
        ["gelu_accurate"] = Activation.GeluTanh,
        ["gelu_fast"] = Activation.GeluTanh,
        ["gelu_new"] = Activation.GeluTanh,
        ["relu"] = Activation.Relu,
    };

    /// <summary>Describes a decoder whose layers all see everything and rotate alike.</summary>
    /// <exception cref="DistTuneException">A field is missing, of the wrong type, or of a kind that is not supported.</exception>
    public static DecoderSpec Read(ConfigReader reader, FamilyTraits traits)
    {
        RefuseUnsupported(reader, traits);
        var shape = DecoderShape.Read(reader, traits.HeadDimension);
        var tied = reader.Flag("tie_word_embeddings", traits.TiedHead);
        var modules = new DecoderModules(shape, traits, tied);
        var rotaryReader = new RotaryReader(reader, shape.HeadDimension, reader.PositiveInteger("max_position_embeddings", traits.MaxPositions), traits.PartialRotary);
        var (rotary, local) = traits.RotaryPerLayerType ? rotaryReader.ReadPerLayerType(traits.Theta, traits.LocalTheta) : (rotaryReader.Read(traits.Theta), null);
        var begin = reader.Tokens("bos_token_id");
        return new DecoderSpec
        {
            Family = traits.Name,
            VocabularySize = shape.Vocabulary,
            HiddenSize = shape.Hidden,
            IntermediateSize = shape.Intermediate,
            LayerCount = shape.Layers,
            HeadCount = shape.Heads,
            KeyValueHeadCount = shape.KeyValueHeads,
            HeadDimension = shape.HeadDimension,
            MaxPositions = rotaryReader.LongestSequence(rotary),
            Norm = new NormSpec(reader.PositiveNumber("rms_norm_eps", traits.Epsilon), traits.OnePlusNorm),
            QueryKeyNorm = traits.QueryKeyNorm,
            PostNorms = traits.PostNorms,
            Rotary = rotary,
            LocalRotary = local,
            Activation = ReadActivation(reader, traits),
            QueryKeyValueBias = traits.Biases.QueryKeyValue,
            AttentionOutputBias = traits.Biases.Output,
            FeedForwardBias = traits.Biases.FeedForward,
            TiedHead = tied,
            BeginToken = begin.IsEmpty ? null : begin[0],
            EndTokens = reader.Tokens("eos_token_id"),
            InitializerRange = reader.PositiveNumber("initializer_range", 0.02),
            Linears = modules.Linears(),
            Weights = modules.Weights(),
        };
    }

    private static Activation ReadActivation(ConfigReader reader, FamilyTraits traits)
    {
        var name = reader.Text(traits.ActivationField);
        return name is null
            ? traits.Activation
            : Activations.TryGetValue(name, out var activation)
                ? activation
                : throw reader.Unsupported(traits.ActivationField, name, string.Join(", ", Activations.Keys), Configuration.NearestName.Find(name, Activations.Keys));
    }

    private static void RefuseUnsupported(ConfigReader reader, FamilyTraits traits)
    {
        foreach (var field in (string[])["rope_interleaved", "use_bidirectional_attention"])
        {
            if (reader.Flag(field, false))
            {
                throw reader.Unsupported(field, "true", "false");
            }
        }

        if (traits.FusedProjections && reader.Flag("attention_bias", false))
        {
            throw reader.Unsupported("attention_bias", "true", "false");
        }

        QuantizationConfig.Check(reader);
    }
}
