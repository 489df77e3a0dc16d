using System.Collections.Immutable;
using DistTune.Core.Quantization;

namespace DistTune.Core.Configuration;

/// <summary>The keys that say how a frozen base is held in four bits, as users of bitsandbytes know them.</summary>
internal static class QuantizationKeys
{
    private const string Adapter = "adapter";
    private const string Qlora = "qlora";
    private const string FourBit = "load_in_4bit";
    private const string Kind = "bnb_4bit_quant_type";
    private const string DoubleQuantization = "bnb_4bit_use_double_quant";
    private const string BlockSize = "bnb_4bit_blocksize";

    private static readonly FourBitSettings Defaults = new();
    private static readonly ImmutableArray<string> Details = [Kind, DoubleQuantization, BlockSize];

    public static ImmutableArray<ConfigKey> All { get; } =
    [
        new(FourBit, ConfigKind.Boolean, "Whether the frozen base is held in four bits; auto follows adapter: qlora.") { Default = "auto", Word = "auto" },
        new("load_in_8bit", ConfigKind.Boolean, "Whether the frozen base is held in eight bits.")
        {
            Default = false,
            NotYet = on => on is false ? null : "Use adapter: qlora, which holds it in four bits.",
        },
        new(Kind, ConfigKind.Choice, "What four bits stand for.") { Default = FourBitSettings.Spelling(Defaults.Kind), Choices = ["nf4", "fp4"] },
        new(DoubleQuantization, ConfigKind.Boolean, "Whether the blocks' scales are held in eight bits.") { Default = Defaults.DoubleQuantization },
        new(BlockSize, ConfigKind.Integer, "Weights that share a scale.") { Default = (long)Defaults.BlockSize, Minimum = 32, Maximum = 4096 },
    ];

    /// <summary>How the base is held in four bits, or null; and whether somebody set the details, which a base in four bits must then agree with.</summary>
    public static (FourBitSettings? Settings, bool AreSet) Read(ResolvedSection values) => values.Text(Adapter) == Qlora
        ? (new FourBitSettings(
                values.Text(Kind) == "fp4" ? FourBitKind.Fp4 : FourBitKind.Nf4, values.Integer(BlockSize), values.Flag(DoubleQuantization)),
            Details.Any(values.IsSet))
        : (null, false);

    /// <summary>What one key alone cannot tell.</summary>
    public static IEnumerable<ConfigurationFault> Check(ResolvedSection values)
    {
        var adapter = values[Adapter];
        var qlora = adapter.Value is Qlora;
        if (values[FourBit] is { Value: bool on, Origin: var origin } && on != qlora)
        {
            yield return new(origin, on
                ? $"load_in_4bit: true goes with adapter: qlora, got adapter: {adapter.Value} ({adapter.Origin}). Set adapter: qlora, or leave load_in_4bit out."
                : $"load_in_4bit: false contradicts adapter: qlora ({adapter.Origin}). Set adapter: lora, or leave load_in_4bit out.");
        }

        // A default that is spelled out, as in a resolved configuration, asks for nothing.
        foreach (var name in Details.Where(name => !qlora && values.IsSet(name) && !Equals(values[name].Value, values[name].Key.Default)))
        {
            yield return new(values[name].Origin, $"{name} only goes with adapter: qlora, got adapter: {adapter.Value} ({adapter.Origin}). Remove it, or set adapter: qlora.");
        }

        if (values[BlockSize] is { Value: long size, Origin: var where } && !FourBitSettings.BlockSizes.Contains((int)size))
        {
            yield return new(where, FormattableString.Invariant($"bnb_4bit_blocksize must be one of {string.Join(", ", FourBitSettings.BlockSizes)}, got {size}."));
        }
    }
}
