using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Modeling.Adapters;

namespace DistTune.Cli.Verbs;

/// <summary>Adapters on a command line: folders, with weights where there are several.</summary>
internal static class AdapterArguments
{
    /// <summary>The folders.</summary>
    public static Option<string[]> Adapters() => new("--adapter")
    {
        Description = "PEFT folder; repeated, several are combined, each with a weight (DIR=0.7).",
        Required = true,
        HelpName = "DIR[=W]",
    };

    /// <summary>How several become one.</summary>
    public static Option<string> Combination()
    {
        var option = new Option<string>("--combination") { Description = "cat adds what the adapters add, exactly; linear averages their factors.", DefaultValueFactory = _ => "cat" };
        option.AcceptOnlyFromAmong("cat", "linear");
        return option;
    }

    /// <summary>Loads one adapter, or combines several.</summary>
    public static AdapterFolder Load(IReadOnlyList<string> arguments, string combination)
    {
        var adapters = arguments.Select(Parse).Select(item => (Adapter: AdapterFolder.Load(item.Folder), item.Weight)).ToImmutableArray();
        return adapters is [(var single, 1)]
            ? single
            : AdapterCombination.Combine(adapters, combination == "linear" ? CombinationKind.Linear : CombinationKind.Cat);
    }

    /// <summary>Loads adapters that are to be active at once on a base, each by its weight.</summary>
    /// <exception cref="DistTuneException">An adapter does not fit the base.</exception>
    public static ImmutableArray<LoadedAdapter> LoadActive(IEnumerable<string> arguments, DecoderSpec spec) =>
    [
        .. arguments.Select(Parse).Select(argument =>
        {
            var peft = PeftAdapter.Load(argument.Folder);
            peft.RequireUnchangedBase();
            var layout = AdapterLayout.Create(spec, peft.Settings);
            return new LoadedAdapter(layout, peft.Settings, AdapterHash.Version(peft.ToVector(layout)), argument.Weight);
        }),
    ];

    // A folder's own name may hold the sign.
    internal static (string Folder, double Weight) Parse(string argument)
    {
        var sign = argument.LastIndexOf('=');
        if (sign < 0 || Directory.Exists(argument))
        {
            return (argument, 1);
        }

        return double.TryParse(argument.AsSpan(sign + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out var weight) && double.IsFinite(weight)
            ? (argument[..sign], weight)
            : throw new DistTuneException(FaultKind.Configuration, $"--adapter {argument}: a weight is a number, got '{argument[(sign + 1)..]}'. Write it as DIR=0.7.");
    }
}
