using DistTune.Core.Formats;

namespace DistTune.Fuzz.Tests.Formats;

/// <summary><c>model.safetensors.index.json</c> beside two shards, a file that is no shard, and a folder above that it must not reach.</summary>
internal sealed class ShardIndexFormat : FuzzFormat
{
    private static readonly TextMutator Text = new("\"one.safetensors\"", "\"two.safetensors\"", "\"../one.safetensors\"", "\"three.safetensors\"", "\"weight_map\"", "\"a\"", "\"b\"");

    public override string Name => "shard-index";

    public override IReadOnlyList<byte[]> Corpus { get; } =
    [
        Utf8("""{"metadata":{"total_size":8},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"""),
    ];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        Of("empty", ""),
        Of("a number", "1"),
        Of("no map", "{}"),
        Of("a list as map", """{"weight_map":[]}"""),
        Of("above the folder", """{"weight_map":{"a":"../one.safetensors"}}"""),
        Of("above the folder, Windows", """{"weight_map":{"a":"..\\one.safetensors"}}"""),
        Of("an absolute path", """{"weight_map":{"a":"/tmp/one.safetensors"}}"""),
        Of("a drive", """{"weight_map":{"a":"C:one.safetensors"}}"""),
        Of("an address", """{"weight_map":{"a":"https://example.invalid/one.safetensors"}}"""),
        Of("a NUL in the name", """{"weight_map":{"a":"one.safetensors\u0000.safetensors"}}"""),
        Of("a device", """{"weight_map":{"a":"device.safetensors"}}"""),
        Of("a pipe", """{"weight_map":{"a":"pipe.safetensors"}}"""),
        Of("a link out of the folder", """{"weight_map":{"a":"link.safetensors"}}"""),
        Of("a folder", """{"weight_map":{"a":"folder.safetensors"}}"""),
        Of("a pickle file", """{"weight_map":{"a":"pytorch_model.bin"}}"""),
        Of("a pickle file by another name", """{"weight_map":{"a":"pytorch_model.bin.safetensors"}}"""),
        Of("a number as file", """{"weight_map":{"a":1}}"""),
        Of("half a surrogate pair", """{"weight_map":{"\ud800":"\ud800.safetensors"}}"""),
        Of("a name of a megabyte", $$$"""{"weight_map":{"a":"{{{Repeat("x", 1 << 20)}}}.safetensors"}}"""),
        Of("duplicate tensors", """{"weight_map":{"a":"one.safetensors","a":"two.safetensors"}}"""),
        Of("100 000 shards", "{\"weight_map\":{" + string.Join(',', Enumerable.Range(0, 100_000).Select(i => $"\"t{i}\":\"s{i}.safetensors\"")) + "}}"),
        Of("deep JSON", Repeat("[", 100_000)),
    ];

    public override byte[] Mutate(Random random, byte[] content) => Text.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        var model = Directory.CreateDirectory(Path.Combine(folder, "model")).FullName;
        Prepare(folder, model);
        File.WriteAllBytes(Path.Combine(model, ShardedSafetensors.IndexName), content);
        using var weights = WeightSources.Open(model);
        foreach (var weight in weights.Weights)
        {
            weights.ReadFloat32(weight.Name, new float[weight.Length]);
        }
    }

    private static void Prepare(string folder, string model)
    {
        if (File.Exists(Path.Combine(folder, "one.safetensors")))
        {
            return;
        }

        var shard = """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""";
        File.WriteAllBytes(Path.Combine(folder, "one.safetensors"), SafetensorsFormat.File(shard, 4));
        File.WriteAllBytes(Path.Combine(model, "one.safetensors"), SafetensorsFormat.File(shard, 4));
        File.WriteAllBytes(Path.Combine(model, "two.safetensors"), SafetensorsFormat.File(shard.Replace("\"a\"", "\"b\"", StringComparison.Ordinal), 4));
        File.WriteAllBytes(Path.Combine(model, "pytorch_model.bin"), [0x80, 2]);
        Directory.CreateDirectory(Path.Combine(model, "folder.safetensors"));
        File.CreateSymbolicLink(Path.Combine(model, "device.safetensors"), "/dev/zero");
        SpecialFiles.MakePipe(Path.Combine(model, "pipe.safetensors"));
    }
}
