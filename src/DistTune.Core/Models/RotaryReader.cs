namespace DistTune.Core.Models;

/// <summary>Reads the rotary embedding in both spellings: <c>rope_parameters</c> (new) and <c>rope_theta</c> with <c>rope_scaling</c> (old).</summary>
internal static class RotaryReader
{
    private const double DefaultTheta = 10000;

    /// <summary>Reads the rotary embedding of heads of the given width, all of whose dimensions rotate.</summary>
    public static RotarySpec Read(ConfigReader config, int headDimension)
    {
        var parameters = config.Section("rope_parameters");
        var section = parameters ?? config.Section("rope_scaling");
        var theta = parameters is { } own && own.Has("rope_theta") ? own.PositiveNumber("rope_theta") : config.PositiveNumber("rope_theta", DefaultTheta);
        foreach (var reader in (ConfigReader[])(section is { } given ? [config, given] : [config]))
        {
            if (reader.PositiveNumber("partial_rotary_factor", 1) != 1)
            {
                throw reader.Unsupported("partial_rotary_factor", reader.Root.GetProperty("partial_rotary_factor").GetRawText(), "1");
            }
        }

        return new RotarySpec(theta, headDimension, section is { } scaling ? ReadScaling(scaling) : null);
    }

    private static RotaryScaling? ReadScaling(ConfigReader section)
    {
        // The first models with scaling wrote 'type'; where both stand, 'rope_type' is the newer one.
        var field = section.Has("rope_type") ? "rope_type" : "type";
        var kind = section.Text(field);
        return kind switch
        {
            null or "default" => null,
            "linear" => new LinearRotaryScaling(section.PositiveNumber("factor")),
            "llama3" => ReadLlama3(section),
            _ => throw section.Unsupported(field, kind, "default, linear, llama3"),
        };
    }

    private static Llama3RotaryScaling ReadLlama3(ConfigReader section)
    {
        var low = section.PositiveNumber("low_freq_factor");
        var high = section.PositiveNumber("high_freq_factor");
        return high > low
            ? new Llama3RotaryScaling(section.PositiveNumber("factor"), low, high, section.PositiveInteger("original_max_position_embeddings"))
            : throw section.Contradiction("high_freq_factor must be above low_freq_factor");
    }
}
