using DistTune.Core.Models;

namespace DistTune.Core.Quantization;

/// <summary>The <c>quantization_config</c> of a model's config.json: bitsandbytes' four bits are read, anything else is refused by name.</summary>
internal static class QuantizationConfig
{
    /// <summary>The field's name.</summary>
    public const string Field = "quantization_config";

    private const string Method = "bitsandbytes";
    private const string Supported = "bitsandbytes in 4 bits (nf4 or fp4), weights in F32, F16 or BF16, or a GGUF file";

    /// <summary>Refuses a quantisation that cannot be read. What is quantised and how is said by the weights' own files.</summary>
    /// <exception cref="DistTuneException">The method is another, or not of four bits.</exception>
    public static void Check(ConfigReader config)
    {
        if (config.Section(Field) is not { } section)
        {
            return;
        }

        // Old files leave the method out and say only how many bits.
        var method = section.Text("quant_method") ?? Method;
        if (method != Method)
        {
            throw config.Unsupported($"{Field}.quant_method", method, Supported);
        }

        if (section.Flag("load_in_8bit", false) || !section.Flag("load_in_4bit", false))
        {
            throw config.Unsupported($"{Field}.load_in_8bit", "true", Supported);
        }

        if (section.Text("bnb_4bit_quant_type") is { } kind and not ("nf4" or "fp4"))
        {
            throw config.Unsupported($"{Field}.bnb_4bit_quant_type", kind, "nf4, fp4");
        }
    }
}
