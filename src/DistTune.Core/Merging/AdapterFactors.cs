using System.Text.Json.Nodes;

namespace DistTune.Core.Merging;

/// <summary>Arithmetic on factors, and the fields of a configuration that go with it.</summary>
internal static class AdapterFactors
{
    /// <summary>A tensor times a number, rounded once.</summary>
    public static AdapterTensor Times(AdapterTensor tensor, double factor) =>
        factor == 1 ? tensor : new(tensor.Shape, Array.ConvertAll(tensor.Values, value => (float)(value * factor)));

    /// <summary>The sum of factors of equal shape and scale.</summary>
    public static AdaptedModule Add(AdaptedModule one, AdaptedModule other) => one with { A = Add(one.A, other.A), B = Add(one.B, other.B) };

    /// <summary>Rows of A below rows of A, columns of B beside columns of B: the product is the sum of the products.</summary>
    public static AdaptedModule Stack(AdaptedModule one, AdaptedModule other) => one with { A = Below(one.A, other.A), B = Beside(one.B, other.B) };

    /// <summary>The same product with zero rows and columns up to a rank.</summary>
    public static AdaptedModule Pad(AdaptedModule module, int rank)
    {
        var more = rank - module.Rank;
        return more == 0
            ? module
            : module with
            {
                A = Below(module.A, new AdapterTensor([more, module.A.Shape[1]], new float[more * module.A.Shape[1]])),
                B = Beside(module.B, new AdapterTensor([module.B.Shape[0], more], new float[module.B.Shape[0] * more])),
            };
    }

    /// <summary>Says one rank and one alpha for all modules, without patterns or roots.</summary>
    public static void SetScale(JsonObject config, int rank, double alpha)
    {
        config["r"] = rank;
        config["lora_alpha"] = Number(alpha);
        config["rank_pattern"] = new JsonObject();
        config["alpha_pattern"] = new JsonObject();
        config["use_rslora"] = false;
    }

    /// <summary>Names the targeted modules one by one.</summary>
    public static void SetTargets(JsonObject config, IEnumerable<string> modules)
    {
        config["target_modules"] = new JsonArray([.. modules.Select(name => JsonValue.Create(name))]);
        foreach (var field in (string[])["layers_to_transform", "layers_pattern", "exclude_modules"])
        {
            config[field] = null;
        }
    }

    /// <summary>Whether two configurations choose their modules alike.</summary>
    public static bool SelectsAlike(JsonObject one, JsonObject other) =>
        ((string[])["target_modules", "layers_to_transform", "layers_pattern", "exclude_modules"]).All(field => Text(one[field]) == Text(other[field]));

    /// <summary>A number as others write it: whole where it is whole.</summary>
    public static JsonNode Number(double value) =>
        value == Math.Floor(value) && Math.Abs(value) < int.MaxValue ? JsonValue.Create((int)value) : JsonValue.Create(value);

    // Their order says nothing.
    private static string Text(JsonNode? node) => node is JsonArray array
        ? string.Join(' ', array.Select(item => item?.ToJsonString() ?? "null").Order(StringComparer.Ordinal))
        : node?.ToJsonString() ?? "null";

    private static AdapterTensor Add(AdapterTensor one, AdapterTensor other) => new(one.Shape, [.. one.Values.Zip(other.Values, (a, b) => a + b)]);

    private static AdapterTensor Below(AdapterTensor one, AdapterTensor other) => new([one.Shape[0] + other.Shape[0], one.Shape[1]], [.. one.Values, .. other.Values]);

    private static AdapterTensor Beside(AdapterTensor one, AdapterTensor other)
    {
        var (rows, left, right) = (checked((int)one.Shape[0]), checked((int)one.Shape[1]), checked((int)other.Shape[1]));
        var values = new float[(long)rows * (left + right)];
        for (var row = 0; row < rows; row++)
        {
            one.Values.AsSpan(row * left, left).CopyTo(values.AsSpan(row * (left + right)));
            other.Values.AsSpan(row * right, right).CopyTo(values.AsSpan((row * (left + right)) + left));
        }

        return new AdapterTensor([rows, left + right], values);
    }
}
