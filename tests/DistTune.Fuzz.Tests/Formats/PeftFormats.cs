using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Fuzz.Tests.Formats;

/// <summary><c>adapter_config.json</c> beside a whole adapter's weights.</summary>
internal sealed class PeftConfigFormat : FuzzFormat
{
    private static readonly TextMutator Text = new(
        "\"LORA\"", "\"IA3\"", "\"all-linear\"", "\"q_proj\"", "\"r\"", "\"target_modules\"", "\"rank_pattern\"", "\"alpha_pattern\"", "\"modules_to_save\"", "\"use_dora\"", "\"bias\"",
        "\"base_model_name_or_path\"", "[\"q_proj\"]", "\"(a+)+$\"", "\".*\"", "[1,2]", "{\"q_proj\":4}");

    public override string Name => "peft-config";

    public override IReadOnlyList<byte[]> Corpus { get; } = [Golden.Bytes("train", "lora-basic", "adapter_final", PeftAdapter.ConfigName)];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        Of("empty", ""),
        Of("a list", "[]"),
        Of("no kind", "{}"),
        Of("another kind", """{"peft_type":"PREFIX_TUNING"}"""),
        Of("a rank of 2^31-1", """{"peft_type":"LORA","r":2147483647,"target_modules":["q_proj"]}"""),
        Of("a rank of zero", """{"peft_type":"LORA","r":0}"""),
        Of("an infinite alpha", """{"peft_type":"LORA","lora_alpha":1e999}"""),
        Of("targets that are numbers", """{"peft_type":"LORA","target_modules":[1,null]}"""),
        Of("targets that are a pattern", """{"peft_type":"LORA","target_modules":"(a|aa)+$"}"""),
        Of("half a surrogate pair", """{"peft_type":"LORA","target_modules":["\ud800"],"base_model_name_or_path":"\ud800"}"""),
        Of("half a surrogate pair as kind", """{"peft_type":"\ud800"}"""),
        Of("a base above the folder", """{"peft_type":"LORA","target_modules":["q_proj"],"base_model_name_or_path":"../../../etc"}"""),
        Of("a base that is a device", """{"peft_type":"LORA","target_modules":["q_proj"],"base_model_name_or_path":"/dev/zero"}"""),
        Of("a pattern of ranks", $$$"""{"peft_type":"LORA","rank_pattern":{"{{{Repeat("(a+)+", 1000)}}}":2}}"""),
        Of("100 000 targets", "{\"peft_type\":\"LORA\",\"target_modules\":[" + string.Join(',', Enumerable.Range(0, 100_000).Select(i => $"\"m{i}\"")) + "]}"),
        Of("deep JSON", "{\"a\":" + Repeat("[", 100_000) + Repeat("]", 100_000) + "}"),
        Of("duplicate fields", """{"peft_type":"LORA","r":1,"r":2}"""),
    ];

    public override byte[] Mutate(Random random, byte[] content) => Text.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        File.WriteAllBytes(Path.Combine(folder, PeftAdapter.WeightsName), PeftWeightsFormat.Weights);
        PeftWeightsFormat.Load(content, folder);
    }
}

/// <summary><c>adapter_model.safetensors</c> beside a right configuration.</summary>
internal sealed class PeftWeightsFormat : FuzzFormat
{
    private static readonly SafetensorsFormat File = new();
    private static readonly DecoderSpec Base = ModelFamilies.Describe(Golden.Path("models", "llama-tiny"));

    internal static byte[] Weights { get; } = Golden.Bytes("train", "lora-basic", "adapter_final", PeftAdapter.WeightsName);

    public override string Name => "peft-weights";

    public override IReadOnlyList<byte[]> Corpus { get; } = [Weights];

    public override IReadOnlyList<HostileFile> Hostile => File.Hostile;

    public override byte[] Mutate(Random random, byte[] content) => File.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        System.IO.File.WriteAllBytes(Path.Combine(folder, PeftAdapter.WeightsName), content);
        Load(Golden.Bytes("train", "lora-basic", "adapter_final", PeftAdapter.ConfigName), folder);
    }

    internal static void Load(byte[] config, string folder)
    {
        System.IO.File.WriteAllBytes(Path.Combine(folder, PeftAdapter.ConfigName), config);
        var adapter = PeftAdapter.Load(folder);
        adapter.ToVector(AdapterLayout.Create(Base, adapter.Settings));
    }
}
