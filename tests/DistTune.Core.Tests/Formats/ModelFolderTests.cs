using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Tests.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Formats;

public sealed class ModelFolderTests : IDisposable
{
    private static readonly AdapterSettings Full = new(AdapterKind.Full, 0, 0, []);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Save_ThenOpen_GivesWeightsConfigurationAndTokenizerBack()
    {
        var (layout, values) = Save("model", WeightType.Float32);
        var folder = _folder.File("model");

        var spec = ModelFamilies.Describe(folder);
        using var weights = WeightSources.Open(folder);

        Assert.Equal(values, AdapterInitialization.FromBase(AdapterLayout.Create(spec, Full), weights));
        Assert.Equal(layout.Entries.Length, weights.Weights.Length);
        Assert.Equal("{\"model\":1}", File.ReadAllText(Path.Combine(folder, "tokenizer.json")));
        Assert.False(File.Exists(Path.Combine(folder, "notes.txt")));
        Assert.Contains("\"dtype\": \"float32\"", File.ReadAllText(Path.Combine(folder, "config.json")), StringComparison.Ordinal);
    }

    [Fact]
    public void FindCompanions_LinkOutOfTheFolder_IsNotPublished()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a privilege there.");
        var folder = Directory.CreateDirectory(_folder.File("foreign")).FullName;
        File.WriteAllText(_folder.File("secret"), "s3cret");
        File.WriteAllText(Path.Combine(folder, "vocabulary"), "{}");
        File.CreateSymbolicLink(Path.Combine(folder, "vocab.json"), "vocabulary");
        Assert.Equal([Path.Combine(folder, "vocab.json")], ModelFolder.FindCompanions(folder));

        File.CreateSymbolicLink(Path.Combine(folder, "merges.txt"), _folder.File("secret"));

        var fault = Assert.Throws<DistTuneException>(() => ModelFolder.FindCompanions(folder));
        Assert.Contains("'merges.txt', a link out of its folder", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FindCompanions_LinkToASnapshotOfTheCache_FollowsIt()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a privilege there.");
        var cache = Directory.CreateDirectory(_folder.File("models--a--b")).FullName;
        var snapshot = Directory.CreateDirectory(Path.Combine(cache, "snapshots", "revision")).FullName;
        Directory.CreateDirectory(Path.Combine(cache, "blobs"));
        File.WriteAllText(Path.Combine(cache, "blobs", "1234"), "{}");
        File.CreateSymbolicLink(Path.Combine(snapshot, "tokenizer.json"), Path.Combine("..", "..", "blobs", "1234"));
        var model = _folder.File("model");
        Directory.CreateSymbolicLink(model, snapshot);

        Assert.Equal([Path.Combine(snapshot, "tokenizer.json")], ModelFolder.FindCompanions(snapshot));
        Assert.Equal([Path.Combine(model, "tokenizer.json")], ModelFolder.FindCompanions(model));
        Assert.Equal([Path.Combine(model, "tokenizer.json")], ModelFolder.FindCompanions(model + Path.DirectorySeparatorChar));
    }

    [Fact]
    public async Task Hash_FollowsContentAndNotPlace()
    {
        var token = TestContext.Current.CancellationToken;
        Save("a", WeightType.BFloat16);
        Save("b", WeightType.BFloat16);
        var first = await ModelHash.ComputeAsync(_folder.File("a"), token);

        Assert.Matches("^[0-9a-f]{64}$", first);
        Assert.Equal(first, await ModelHash.ComputeAsync(_folder.File("b"), token));
        File.WriteAllText(Path.Combine(_folder.File("b"), "tokenizer.json"), "other");
        Assert.Equal(first, await ModelHash.ComputeAsync(_folder.File("b"), token));
        Save("b", WeightType.Float32);
        Assert.NotEqual(first, await ModelHash.ComputeAsync(_folder.File("b"), token));
        File.AppendAllText(Path.Combine(_folder.File("a"), "config.json"), " ");
        Assert.NotEqual(first, await ModelHash.ComputeAsync(_folder.File("a"), token));
    }

    [Fact]
    public async Task Hash_OfShards_CoversEveryShard()
    {
        var token = TestContext.Current.CancellationToken;
        foreach (var name in (string[])["x", "y"])
        {
            SafetensorsWriter.Write(_folder.File($"{name}.safetensors"), [new(name, WeightType.Float32, [1])], (_, stream) => stream.Write(new byte[4]));
        }

        _folder.Write("model.safetensors.index.json", """{"weight_map":{"x":"x.safetensors","y":"y.safetensors"}}""");
        using (var weights = WeightSources.Open(_folder.Path))
        {
            Assert.Equal(["x", "y"], weights.Weights.Select(weight => weight.Name));
        }

        var before = await ModelHash.ComputeAsync(_folder.Path, token);
        SafetensorsWriter.Write(_folder.File("y.safetensors"), [new("y", WeightType.Float32, [1])], (_, stream) => stream.Write([0, 0, 0, 64]));

        Assert.NotEqual(before, await ModelHash.ComputeAsync(_folder.Path, token));
    }

    [Fact]
    public void CheckWeights_MissingOrMisshapen_AreListed()
    {
        Save("model", WeightType.Float32);
        using var weights = WeightSources.Open(_folder.File("model"));
        var other = ConfigText.Describe(("vocab_size", 33), ("attention_bias", true));

        var message = Assert.Throws<DistTuneException>(() => ModelFamilies.CheckWeights(other, weights, "m")).Message;

        Assert.Contains("10 weights", message, StringComparison.Ordinal);
        Assert.Contains("shape [32, 8] instead of [33, 8]: model.embed_tokens.weight", message, StringComparison.Ordinal);
        Assert.Contains("missing: model.layers.0.self_attn.q_proj.bias", message, StringComparison.Ordinal);
        Assert.Throws<DistTuneException>(() => AdapterInitialization.FromBase(AdapterLayout.Create(other, Full), weights));
    }

    [Fact]
    public void CheckWeights_OneWithoutAPlace_IsNamed()
    {
        Save("model", WeightType.Float32);
        using var weights = WeightSources.Open(_folder.File("model"));
        var spec = ConfigText.Describe();
        var shallow = ConfigText.Describe(("num_hidden_layers", 1));

        ModelFamilies.CheckWeights(spec with { TiedHead = true, Weights = [.. spec.Weights.Where(weight => weight.Name != "lm_head.weight")] }, weights, "m");
        var message = Assert.Throws<DistTuneException>(() => ModelFamilies.CheckWeights(shallow, weights, "m")).Message;

        Assert.Contains("9 weights", message, StringComparison.Ordinal);
        Assert.Contains("no place for: model.layers.1.self_attn.q_proj.weight", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("nowhere", "There is no model")]
    [InlineData("", "holds no model.safetensors")]
    public void Open_NoModel_SaysWhatIsExpected(string name, string problem) =>
        Assert.Contains(problem, Assert.Throws<DistTuneException>(() => WeightSources.Open(Path.Combine(_folder.Path, name))).Message, StringComparison.Ordinal);

    private (ParameterLayout Layout, float[] Values) Save(string name, WeightType type)
    {
        var source = Directory.CreateDirectory(_folder.File("source")).FullName;
        File.WriteAllText(Path.Combine(source, "config.json"), ConfigText.With());
        File.WriteAllText(Path.Combine(source, "tokenizer.json"), "{\"model\":1}");
        File.WriteAllText(Path.Combine(source, "notes.txt"), "");
        var layout = AdapterLayout.Create(ModelFamilies.Describe(source), Full);
        var values = AdapterInitialization.Create(layout, Full, 5);
        ModelFolder.Save(_folder.File(name), layout, values, source, type);
        return (layout, values);
    }
}
