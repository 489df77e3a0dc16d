using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using DistTune.Modeling.Loralib;

namespace DistTune.Goldens.Layers;

/// <summary>What loralib's functions mark as trainable and put into an adapter's state, for each kind of bias.</summary>
internal sealed partial class LoralibUtilitiesGolden : IGoldenKind
{
    private static readonly (string Name, BiasKind Kind)[] Kinds = [("none", BiasKind.None), ("lora_only", BiasKind.LoraOnly), ("all", BiasKind.All)];

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) => Directory.EnumerateFiles(folder, "*.json")
        .Order(StringComparer.Ordinal)
        .Where(path => JsonCase.HasAll(JsonCase.Root(path), "modules", "all_state_dict_keys", "none", "lora_only", "all"))
        .Select(path => GoldenCase.OfFile(path));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(golden.Path);
        foreach (var (name, kind) in Kinds)
        {
            using var scope = torch.NewDisposeScope();
            using var model = Model(root.GetProperty("modules"));
            meter.Equal("all_state_dict_keys", Joined(model.NamedParameters()), Joined(root.GetProperty("all_state_dict_keys")));
            LoraTraining.MarkOnlyLoraAsTrainable(model, kind);
            var expected = root.GetProperty(name);
            meter.Equal($"{name}: trainable_parameters", Joined(model.NamedParameters().Where(pair => pair.Value.requires_grad)), Joined(expected.GetProperty("trainable_parameters")));
            meter.Equal($"{name}: lora_state_dict_keys", Joined(LoraTraining.LoraStateDict(model, kind)), Joined(expected.GetProperty("lora_state_dict_keys")));
        }

        return Task.CompletedTask;
    }

    private static string Joined(IEnumerable<KeyValuePair<string, Tensor>> parameters) => string.Join(' ', parameters.Select(pair => pair.Key));

    private static string Joined(JsonElement names) => string.Join(' ', names.EnumerateArray().Select(name => name.GetString()));

    // Dotted names are modules of modules, in the order of their first mention.
    private static ModuleGroup Model(JsonElement modules)
    {
        var root = new ModuleGroup();
        var groups = new Dictionary<string, ModuleGroup>(StringComparer.Ordinal) { [""] = root };
        foreach (var module in modules.EnumerateObject())
        {
            var path = "";
            var parts = module.Name.Split('.');
            foreach (var part in parts[..^1])
            {
                var below = path.Length == 0 ? part : $"{path}.{part}";
                if (!groups.ContainsKey(below))
                {
                    groups.Add(below, new ModuleGroup());
                    groups[path].Add(part, groups[below]);
                }

                path = below;
            }

            groups[path].Add(parts[^1], Parse(module.Value.GetString()!));
        }

        return root;
    }

    private static LoraModule Parse(string text)
    {
        var match = Call().Match(text);
        if (!match.Success)
        {
            throw new GoldenUnsupportedException($"the module '{text}'");
        }

        var numbers = match.Groups["numbers"].Value.Split(',', StringSplitOptions.TrimEntries).Select(number => long.Parse(number, CultureInfo.InvariantCulture)).ToArray();
        var named = match.Groups["named"].Value;
        var options = new LoraOptions(Rank().Match(named) is { Success: true } rank ? int.Parse(rank.Groups[1].Value, CultureInfo.InvariantCulture) : 0);
        var bias = !named.Contains("bias=False", StringComparison.Ordinal);
        return match.Groups["name"].Value switch
        {
            "Embedding" => new Embedding(numbers[0], numbers[1], options),
            "MergedLinear" => new MergedLinear(numbers[0], numbers[1], Enabled(named), options, bias: bias),
            "Linear" => new Linear(numbers[0], numbers[1], options, bias: bias),
            "Conv1d" or "Conv2d" or "Conv3d" => LoralibLayers.Convolution(match.Groups["name"].Value[4] - '0', numbers[0], numbers[1], numbers[2], options, new ConvOptions(), bias),
            "LayerNorm" => new PlainModule(("weight", torch.ones([numbers[0]])), ("bias", torch.zeros([numbers[0]]))),
            "plain Linear" when bias => new PlainModule(("weight", torch.zeros([numbers[1], numbers[0]])), ("bias", torch.zeros([numbers[1]]))),
            "plain Linear" => new PlainModule(("weight", torch.zeros([numbers[1], numbers[0]]))),
            var other => throw new GoldenUnsupportedException($"the module '{other}'"),
        };
    }

    private static ImmutableArray<bool> Enabled(string named) =>
        [.. EnableLora().Match(named).Groups[1].Value.Split(',', StringSplitOptions.TrimEntries).Select(flag => flag is "1" or "True")];

    [GeneratedRegex(@"^(?<name>[A-Za-z0-9 ]+)\((?<numbers>\d+(?:, *\d+)*)(?<named>.*)\)$")]
    private static partial Regex Call();

    [GeneratedRegex(@"\br=(\d+)")]
    private static partial Regex Rank();

    [GeneratedRegex(@"enable_lora=\[([^\]]*)\]")]
    private static partial Regex EnableLora();
}
