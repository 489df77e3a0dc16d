using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Tests.Models;
using DistTune.Core.Tests.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Formats;

public sealed class PeftAdapterTests : IDisposable
{
    private static readonly AdapterSettings Settings = new(AdapterKind.Lora, 2, 4, ["all-linear"]);
    private static readonly ParameterLayout Layout = AdapterLayout.Create(ConfigText.Describe(), Settings);
    private readonly TemporaryFolder _folder = new();

    private string Adapter => _folder.File("adapter");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Save_ThenLoad_GivesValuesAndSettingsBack()
    {
        var values = Random();
        PeftAdapter.Save(Adapter, Layout, values, Settings, "some/base");

        var loaded = PeftAdapter.Load(Adapter);

        Assert.Equal(values, loaded.ToVector(Layout));
        Assert.Equal("some/base", loaded.BaseModel);
        Assert.Equal((2, 4.0), (loaded.Settings.Rank, loaded.Settings.Alpha));
        Assert.Equal(Layout.Entries, AdapterLayout.Create(ConfigText.Describe(), loaded.Settings).Entries, Same);
    }

    [Fact]
    public void Save_WritesTheConfigurationThatLoadersExpect()
    {
        PeftAdapter.Save(Adapter, Layout, Random(), Settings, "some/base");

        var text = File.ReadAllText(Path.Combine(Adapter, "adapter_config.json"));
        Assert.StartsWith("{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n", text, StringComparison.Ordinal);
        using var config = JsonDocument.Parse(text);
        var keys = config.RootElement.EnumerateObject().Select(property => property.Name).ToArray();
        Assert.Equal(keys.Order(StringComparer.Ordinal), keys);
        Assert.Equal("LORA", config.RootElement.GetProperty("peft_type").GetString());
        Assert.Equal("4", config.RootElement.GetProperty("lora_alpha").GetRawText());
        Assert.Equal("""["down_proj","gate_proj","k_proj","o_proj","q_proj","up_proj","v_proj"]""", JsonSerializer.Serialize(config.RootElement.GetProperty("target_modules")));
    }

    [Fact]
    public void Save_Twice_GivesTheSameBytesAndKeepsForeignFiles()
    {
        var values = Random();
        PeftAdapter.Save(Adapter, Layout, values, Settings, "base");
        var first = Directory.GetFiles(Adapter).Order(StringComparer.Ordinal).Select(File.ReadAllBytes).ToArray();
        File.WriteAllText(Path.Combine(Adapter, "tokenizer.json"), "{}");

        PeftAdapter.Save(Adapter, Layout, values, Settings, "base");

        Assert.Equal(["README.md", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json"], Directory.GetFiles(Adapter).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal(first, Directory.GetFiles(Adapter).Order(StringComparer.Ordinal).Take(3).Select(File.ReadAllBytes));
        Assert.Equal([Adapter], Directory.GetDirectories(_folder.Path));
    }

    [Fact]
    public void Save_NaN_IsNotPublished()
    {
        var values = Random();
        values[0] = float.NaN;

        Assert.Throws<DistTuneException>(() => PeftAdapter.Save(Adapter, Layout, values, Settings, "base"));
        Assert.False(Directory.Exists(Adapter));
    }

    [Fact]
    public void Card_NamesBaseRankAlphaTargetsAndData()
    {
        var card = new AdapterCard("train.jsonl (400 rows)", [new("Steps", "30"), new("Adapter | SHA-256", "ab")]);
        PeftAdapter.Save(Adapter, Layout, Random(), Settings, "some/\"base\"", card);

        var text = File.ReadAllText(Path.Combine(Adapter, "README.md"));
        Assert.Contains("base_model: \"some/\\\"base\\\"\"\n", text, StringComparison.Ordinal);
        foreach (var row in (string[])["| Rank | 2 |", "| Alpha | 4 |", "| Target modules | all-linear |", "| Data | train.jsonl (400 rows) |", "| Steps | 30 |", "| Adapter \\| SHA-256 | ab |"])
        {
            Assert.Contains(row, text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void ToVector_OtherLayout_ListsMissingLeftOverAndMisshapen()
    {
        var smaller = new AdapterSettings(AdapterKind.Lora, 2, 4, ["q_proj"]);
        var smallLayout = AdapterLayout.Create(ConfigText.Describe(), smaller);
        PeftAdapter.Save(Adapter, smallLayout, new float[smallLayout.Length], smaller, "base");
        var loaded = PeftAdapter.Load(Adapter);

        Assert.Contains("missing: base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", Message(Layout), StringComparison.Ordinal);
        Assert.Contains("not expected: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", Message(AdapterLayout.Create(ConfigText.Describe(), smaller with { TargetModules = ["v_proj"] })), StringComparison.Ordinal);
        Assert.Contains("shape [2, 8] instead of [3, 8]", Message(AdapterLayout.Create(ConfigText.Describe(), smaller with { Rank = 3 })), StringComparison.Ordinal);

        string Message(ParameterLayout layout) => Assert.Throws<DistTuneException>(() => loaded.ToVector(layout)).Message;
    }

    [Fact]
    public void Load_StoredAsBFloat16_IsWidened_AndMissingBMayBeZero()
    {
        PeftAdapter.Save(Adapter, Layout, Random(), Settings, "base");
        SafetensorsWriter.Write(
            Path.Combine(Adapter, PeftAdapter.WeightsName),
            Layout.Entries.Where(entry => entry.Name.EndsWith(AdapterLayout.SuffixA, StringComparison.Ordinal)).Select(entry => new WeightInfo(entry.Name, WeightType.BFloat16, entry.Shape)),
            (weight, stream) => SafetensorsWriter.WriteValues(stream, Enumerable.Repeat(0.5f, (int)weight.Length).ToArray(), weight.Type));

        var loaded = PeftAdapter.Load(Adapter);

        Assert.Throws<DistTuneException>(() => loaded.ToVector(Layout));
        var values = loaded.ToVector(Layout, zeroMissingB: true);
        Assert.Equal(0.5f, values[0]);
        Assert.Equal(0f, values[Layout.Entries[1].Offset]);
    }

    [Theory]
    [InlineData("peft_type", "\"IA3\"")]
    [InlineData("bias", "\"some\"")]
    [InlineData("fan_in_fan_out", "true")]
    [InlineData("init_lora_weights", "\"olora\"")]
    [InlineData("layer_replication", "[[0,2]]")]
    [InlineData("target_parameters", """["mlp.experts"]""")]
    [InlineData("rank_pattern", """{"q_proj":0}""")]
    [InlineData("alpha_pattern", """["q_proj"]""")]
    [InlineData("modules_to_save", "[1]")]
    [InlineData("lora_dropout", "1.5")]
    public void Load_WhatCannotBeApplied_IsRefusedByName(string field, string json)
    {
        PeftAdapter.Save(Adapter, Layout, Random(), Settings, "base");
        Change(field, JsonNode.Parse(json));

        Assert.Contains(field, Assert.Throws<DistTuneException>(() => PeftAdapter.Load(Adapter)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_PatternOfTargets_SelectsByWholeNames()
    {
        PeftAdapter.Save(Adapter, Layout, Random(), Settings, "base");
        Change("target_modules", JsonValue.Create(".*_proj"));

        var loaded = PeftAdapter.Load(Adapter);

        Assert.Equal(".*_proj", loaded.Settings.TargetPattern);
        Assert.Equal(Layout.Entries, AdapterLayout.Create(ConfigText.Describe(), loaded.Settings).Entries, Same);
    }

    [Fact]
    public void Load_FolderWithPickle_IsRefused()
    {
        Directory.CreateDirectory(Adapter);
        File.WriteAllText(Path.Combine(Adapter, "adapter_config.json"), "{}");
        File.WriteAllText(Path.Combine(Adapter, "adapter_model.bin"), "x");

        Assert.Contains("pickle", Assert.Throws<DistTuneException>(() => PeftAdapter.Load(Adapter)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/dev/zero")]
    [InlineData("../../../etc/passwd")]
    [InlineData("https://example.org/model")]
    public void Load_WhateverBaseItNames_ShowsItAndOpensNothing(string named)
    {
        PeftAdapter.Save(Adapter, Layout, Random(), Settings, "some/base");
        var path = Path.Combine(Adapter, PeftAdapter.ConfigName);
        File.WriteAllText(path, File.ReadAllText(path).Replace("some/base", named, StringComparison.Ordinal));

        Assert.Equal(named, PeftAdapter.Load(Adapter).BaseModel);
    }

    [Fact]
    public void Load_AdapterThatPeftWrote_FillsTheLayoutExactly()
    {
        var spec = ModelFamilies.Describe(Golden.Path("gguf", "hf"));
        var loaded = PeftAdapter.Load(Golden.Path("gguf", "adapter"));
        var layout = AdapterLayout.Create(spec, loaded.Settings);

        var values = loaded.ToVector(layout);

        Assert.Equal((4, 8.0, 28), (loaded.Settings.Rank, loaded.Settings.Alpha, layout.Entries.Length));
        Assert.Equal(layout.Entries, AdapterLayout.Create(spec, loaded.Settings with { TargetModules = ["all-linear"] }).Entries, Same);
        Assert.Equal(layout.ParameterCount, values.Count(value => value != 0));
        PeftAdapter.Save(Adapter, layout, values, loaded.Settings, "tiny");
        Assert.Equal(values, PeftAdapter.Load(Adapter).ToVector(layout));
    }

    [Fact]
    public void Load_InitialAdapterOfTheRealModel_FillsItsLayout()
    {
        var folder = GoldenFiles.External(Path.Combine("smollm2", "lora", "adapter_init", PeftAdapter.ConfigName));
        Assert.SkipWhen(folder is null, "DISTTUNE_THIRDPARTY is not set, or the goldens of the real model are not here.");
        var loaded = PeftAdapter.Load(Path.GetDirectoryName(folder)!);
        var spec = ModelFamilies.Describe(Path.Combine(GoldenFiles.ThirdParty!, "smollm2-135m-instruct"));

        var layout = AdapterLayout.Create(spec, new AdapterSettings(AdapterKind.Lora, 8, 16, ["all-linear"]));

        Assert.Equal((420, 2_442_240L), (layout.Entries.Length, layout.ParameterCount));
        Assert.Equal((8, 16.0), (loaded.Settings.Rank, loaded.Settings.Alpha));
        Assert.NotEqual(0, loaded.ToVector(layout, zeroMissingB: true)[0]);
    }

    private static bool Same(ParameterEntry left, ParameterEntry right) => left.Name == right.Name && left.Offset == right.Offset && left.Shape.SequenceEqual(right.Shape);

    private static float[] Random()
    {
        var values = new float[Layout.Length];
        foreach (var entry in Layout.Entries)
        {
            for (var i = 0; i < entry.Length; i++)
            {
                values[entry.Offset + i] = (float)CounterRandom.Uniform(1, 2, (ulong)(entry.Offset + i));
            }
        }

        return values;
    }

    private void Change(string field, JsonNode? value)
    {
        var path = Path.Combine(Adapter, "adapter_config.json");
        var config = JsonNode.Parse(File.ReadAllText(path))!;
        config[field] = value;
        File.WriteAllText(path, config.ToJsonString());
    }
}
