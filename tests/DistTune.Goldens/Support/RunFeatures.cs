using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Planning;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Goldens.Support;

/// <summary>Which features a run exercises, read from the adapter that it wrote and, where that does not say it, from its configuration.</summary>
internal static class RunFeatures
{
    /// <summary>The features of a run.</summary>
    /// <param name="run">The run.</param>
    /// <param name="folder">What it left: a PEFT folder, or a model folder.</param>
    public static IReadOnlyList<SupportedFeature> Of(PreparedRun run, string folder) =>
    [
        .. Trained(run, folder).Distinct(StringComparer.Ordinal).Select(name => new SupportedFeature(SupportedFeature.Adapters, name)),
        new(SupportedFeature.Bases, BaseOf(run)),
    ];

    private static IEnumerable<string> Trained(PreparedRun run, string folder)
    {
        var config = run.Config;
        IEnumerable<string> names = config.Adapter.Kind == AdapterKind.Full ? [CaseFeatures.FullFineTuning] : CaseFeatures.OfPeft(WhatWasAsked(run, folder)).Prepend(CaseFeatures.Linears);
        return
        [
            .. names,
            .. When(config.Quantization is not null, CaseFeatures.Qlora),
            .. When(config.LoraPlus is not null, CaseFeatures.LoraPlus),
            .. When(config.LabelSmoothing != 0, CaseFeatures.LabelSmoothing),
            .. When(config.Optimizer.Optimizer.EightBit, CaseFeatures.EightBitMoments),
            .. When(config.InitialAdapter is not null, "`init_adapter`"),
        ];
    }

    // The file spells out the targets, and names the start of the base that it is for.
    private static JsonElement WhatWasAsked(PreparedRun run, string folder)
    {
        var written = JsonNode.Parse(File.ReadAllBytes(Path.Combine(folder, PeftAdapter.ConfigName)))!;
        if (run.Config.Adapter.TargetModules is [AdapterLayout.AllLinear])
        {
            written["target_modules"] = AdapterLayout.AllLinear;
        }

        if (run.Config.Adapter.Start is LoraStart.Pissa or LoraStart.Loftq)
        {
            written["init_lora_weights"] = run.Config.Adapter.Start.ToString().ToLowerInvariant();
        }

        return JsonSerializer.SerializeToElement(written);
    }

    private static string BaseOf(PreparedRun run) => run.Config.Quantization is { } quantization
        ? CaseFeatures.FourBitBase(FourBitSettings.Spelling(quantization.Kind))
        : run.Plan.BaseInBFloat16 ? "bfloat16" : "float32";

    private static IEnumerable<string> When(bool holds, string name) => holds ? [name] : [];
}
