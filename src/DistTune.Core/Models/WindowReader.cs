using System.Collections.Immutable;

namespace DistTune.Core.Models;

/// <summary>Reads which layers see a window only.</summary>
internal static class WindowReader
{
    private const string Sliding = "sliding_attention";
    private const string Full = "full_attention";
    private const string Window = "sliding_window";
    private const string LayerTypes = "layer_types";

    /// <summary>The window's width; null where the field is null, <paramref name="otherwise"/> where it is absent.</summary>
    public static int? Width(ConfigReader reader, int? otherwise) =>
        reader.Mentions(Window) ? (reader.Has(Window) ? reader.PositiveInteger(Window) : null) : otherwise;

    /// <summary>Each layer's window: as <c>layer_types</c> says, or else by <paramref name="slides"/>.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="layers">Number of layers.</param>
    /// <param name="width">The window's width; null where there is none.</param>
    /// <param name="slides">Whether a layer has the window if the configuration does not list types.</param>
    public static ImmutableArray<int?> Read(ConfigReader reader, int layers, int? width, Func<int, bool> slides)
    {
        bool[] sliding = reader.Texts(LayerTypes) is { } types
            ? [.. types.Select(type => IsSliding(reader, type))]
            : [.. Enumerable.Range(0, layers).Select(slides)];
        if (sliding.Length != layers)
        {
            throw reader.Contradiction($"{LayerTypes} names {sliding.Length} layers; num_hidden_layers is {layers}");
        }

        if (!sliding.Contains(true))
        {
            return [];
        }

        return width is null
            ? throw reader.Contradiction($"{LayerTypes} has {Sliding}, and {Window} gives it no width")
            : [.. sliding.Select(slide => slide ? width : null)];
    }

    private static bool IsSliding(ConfigReader reader, string type) => type switch
    {
        Sliding => true,
        Full => false,
        _ => throw reader.Unsupported(LayerTypes, type, $"{Full}, {Sliding}", Configuration.NearestName.Find(type, [Full, Sliding])),
    };
}
