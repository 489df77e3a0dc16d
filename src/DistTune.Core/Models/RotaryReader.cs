using System.Collections.Immutable;
using DistTune.Core.Configuration;

namespace DistTune.Core.Models;

/// <summary>
/// Reads the rotary embedding in both spellings: <c>rope_parameters</c> (new) and <c>rope_theta</c>, <c>partial_rotary_factor</c>,
/// <c>rope_scaling</c> (old).
/// </summary>
internal sealed class RotaryReader(ConfigReader config, int headDimension, int maxPositions, bool allowsPartial)
{
    private const string OriginalPositions = "original_max_position_embeddings";
    private static readonly string[] Kinds = ["default", "linear", "dynamic", "llama3", "longrope", "yarn"];

    /// <summary>The embedding that all layers share.</summary>
    public RotarySpec Read(double defaultTheta) => config.Section("rope_parameters") is { } parameters
        ? ReadParameters(parameters, defaultTheta)
        : ReadLegacy(config.PositiveNumber("rope_theta", defaultTheta));

    /// <summary>The embeddings of layers that see everything and of layers with a window, where the configuration gives each its own.</summary>
    public (RotarySpec Full, RotarySpec? Local) ReadPerLayerType(double defaultTheta, double defaultLocalTheta)
    {
        if (config.Section("rope_parameters") is { } parameters)
        {
            var full = parameters.Section("full_attention");
            var local = parameters.Section("sliding_attention");
            return full is null && local is null
                ? throw parameters.Contradiction("it has neither full_attention nor sliding_attention")
                : (full is { } own ? ReadParameters(own, defaultTheta) : Plain(defaultTheta), local is { } near ? ReadParameters(near, defaultLocalTheta) : Plain(defaultLocalTheta));
        }

        return (ReadLegacy(config.PositiveNumber("rope_theta", defaultTheta)), Plain(config.PositiveNumber("rope_local_base_freq", defaultLocalTheta)));
    }

    /// <summary>Longest sequence: what the configuration says, or what the scaling stretches it to.</summary>
    public int LongestSequence(RotarySpec rotary) => rotary.Scaling switch
    {
        DynamicRotaryScaling dynamic => Stretched(dynamic.OriginalMaxPositions, dynamic.Factor),
        YarnRotaryScaling yarn => Stretched(yarn.OriginalMaxPositions, yarn.Factor),
        _ => maxPositions,
    };

    private int Stretched(int original, double factor) => Math.Max(maxPositions, (int)Math.Min(int.MaxValue, original * factor));

    private RotarySpec Plain(double theta) => new(theta, headDimension, null);

    private RotarySpec ReadLegacy(double theta)
    {
        var dimensions = Dimensions(config, config.Section("rope_scaling"));
        return new RotarySpec(theta, dimensions, config.Section("rope_scaling") is { } scaling ? ReadScaling(scaling, dimensions) : null);
    }

    private RotarySpec ReadParameters(ConfigReader parameters, double defaultTheta)
    {
        var theta = parameters.Has("rope_theta") ? parameters.PositiveNumber("rope_theta") : config.PositiveNumber("rope_theta", defaultTheta);
        var dimensions = Dimensions(config, parameters);
        return new RotarySpec(theta, dimensions, ReadScaling(parameters, dimensions));
    }

    // The section's own word counts before the one at the top.
    private int Dimensions(ConfigReader top, ConfigReader? section)
    {
        const string name = "partial_rotary_factor";
        var reader = section is { } inner && inner.Has(name) ? inner : top;
        var share = reader.PositiveNumber(name, 1);
        if (share != 1 && !allowsPartial)
        {
            throw reader.Unsupported(name, reader.Root.GetProperty(name).GetRawText(), "1");
        }

        var dimensions = (int)(headDimension * share);
        return share <= 1 && dimensions >= 2 && dimensions % 2 == 0
            ? dimensions
            : throw reader.Contradiction(FormattableString.Invariant($"{name} {share} of head_dim {headDimension} is {dimensions}; rotary pairs need an even number from 2 to head_dim"));
    }

    private RotaryScaling? ReadScaling(ConfigReader section, int dimensions)
    {
        // The first models with scaling wrote 'type'; where both stand, 'rope_type' is the newer one.
        var field = section.Has("rope_type") ? "rope_type" : "type";
        var kind = section.Text(field);
        return kind switch
        {
            null or "default" => null,
            "linear" => new LinearRotaryScaling(section.PositiveNumber("factor")),
            "dynamic" => new DynamicRotaryScaling(AtLeastOne(section, "factor"), maxPositions),
            "llama3" => ReadLlama3(section),
            // Early Phi-3 configurations called LongRoPE by two other names.
            "longrope" or "su" => ReadLong(section, dimensions),
            "yarn" when section.Has("short_factor") => ReadLong(section, dimensions),
            "yarn" => ReadYarn(section),
            _ => throw section.Unsupported(field, kind, string.Join(", ", Kinds), NearestName.Find(kind, Kinds)),
        };
    }

    private static double AtLeastOne(ConfigReader section, string name)
    {
        var value = section.PositiveNumber(name);
        return value >= 1 ? value : throw section.Contradiction(FormattableString.Invariant($"{name} is {value}; a scaling stretches by 1 or more"));
    }

    private static Llama3RotaryScaling ReadLlama3(ConfigReader section)
    {
        var low = section.PositiveNumber("low_freq_factor");
        var high = section.PositiveNumber("high_freq_factor");
        return high > low
            ? new Llama3RotaryScaling(section.PositiveNumber("factor"), low, high, section.PositiveInteger(OriginalPositions))
            : throw section.Contradiction("high_freq_factor must be above low_freq_factor");
    }

    private LongRotaryScaling ReadLong(ConfigReader section, int dimensions)
    {
        var original = Original(section) ?? maxPositions;
        var factor = section.PositiveNumber("factor", (double)maxPositions / original);
        var attention = section.PositiveNumber("attention_factor", factor <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(factor) / Math.Log(original))));
        return new LongRotaryScaling(Factors(section, "short_factor", dimensions), Factors(section, "long_factor", dimensions), original, attention);
    }

    private static ImmutableArray<float> Factors(ConfigReader section, string name, int dimensions)
    {
        var factors = section.PositiveNumbers(name);
        return factors.Length == dimensions / 2
            ? [.. factors.Select(factor => (float)factor)]
            : throw section.Contradiction($"{name} has {factors.Length} numbers; {dimensions} rotated dimensions need {dimensions / 2}");
    }

    private YarnRotaryScaling ReadYarn(ConfigReader section)
    {
        var original = Original(section) ?? maxPositions;
        var factor = section.PositiveNumber("factor", (double)maxPositions / original);
        var fast = section.PositiveNumber("beta_fast", 32);
        var slow = section.PositiveNumber("beta_slow", 1);
        return new YarnRotaryScaling(factor, original, fast, slow, section.Flag("truncate", true), section.PositiveNumber("attention_factor", YarnAttention(section, factor)));
    }

    private static double YarnAttention(ConfigReader section, double factor)
    {
        var (scale, allDimensions) = (section.Number("mscale", 0), section.Number("mscale_all_dim", 0));
        return scale != 0 && allDimensions != 0 ? Magnitude(scale) / Magnitude(allDimensions) : Magnitude(1);

        double Magnitude(double weight) => factor <= 1 ? 1 : (0.1 * weight * Math.Log(factor)) + 1;
    }

    private int? Original(ConfigReader section) =>
        section.Has(OriginalPositions) ? section.PositiveInteger(OriginalPositions)
        : config.Has(OriginalPositions) ? config.PositiveInteger(OriginalPositions)
        : null;
}
