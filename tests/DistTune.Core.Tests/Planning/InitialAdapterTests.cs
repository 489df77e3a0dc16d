using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Planning;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Planning;

public sealed class InitialAdapterTests
{
    private const string Run = """
        base_model: model
        datasets: [{path: rows.jsonl}]
        output_dir: out
        lora_r: 2
        lora_target_modules: [q_proj, v_proj]
        init_adapter: start
        """;

    [Fact]
    public async Task Create_FromAnAdapter_StartsWithItsValuesAndHasAnIdentityOfItsOwn()
    {
        using var tiny = new TinyBase();
        var values = Save(tiny, new AdapterSettings(AdapterKind.Lora, 2, 16, ["q_proj", "v_proj"]));

        var run = await Plan(tiny, Run);

        Assert.Equal(AdapterHash.Sha256(values), run.InitialAdapter.Sha256);
        Assert.Contains(run.InitialAdapter.Sha256, PlanJson.Write(run), StringComparison.Ordinal);
        Assert.NotEqual((await Plan(tiny, Run.Replace("init_adapter: start", "seed: 3407", StringComparison.Ordinal))).Plan.RunId, run.Plan.RunId);
    }

    [Fact]
    public async Task Create_FromAnAdapterWithOtherTensors_ListsThemUnlessItNeedNotBeStrict()
    {
        using var tiny = new TinyBase();
        Save(tiny, new AdapterSettings(AdapterKind.Lora, 2, 16, ["q_proj", "k_proj"]));

        var error = await Assert.ThrowsAsync<DistTuneException>(() => Plan(tiny, Run));

        Assert.Contains("missing: base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight", error.Message, StringComparison.Ordinal);
        Assert.Contains("not expected: base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", error.Message, StringComparison.Ordinal);
        Assert.Contains("init_adapter_strict: false", error.Message, StringComparison.Ordinal);
        var run = await Plan(tiny, Run + "\ninit_adapter_strict: false");
        Assert.Contains("missing: base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight", run.InitialDifferences);
        Assert.Contains("not expected: base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", run.InitialDifferences);
        Assert.Contains("4 tensors differ", run.InitialNotice, StringComparison.Ordinal);
        foreach (var entry in run.Plan.Layout.Entries.Where(entry => entry.Role == TensorRole.LoraB))
        {
            var slice = run.InitialAdapter.Values.Span.Slice((int)entry.Offset, (int)entry.Length);
            Assert.Equal(entry.Module.EndsWith("q_proj", StringComparison.Ordinal) ? 0.5f : 0f, slice[0]);
        }
    }

    [Theory]
    [InlineData(2, 8, "scales 'model.layers.0.self_attn.q_proj' by 4")]
    [InlineData(1, 8, "shape [1, ")]
    public async Task Create_FromAnAdapterOfAnotherScaleOrRank_IsRefusedEvenIfItNeedNotBeStrict(int rank, double alpha, string expected)
    {
        using var tiny = new TinyBase();
        Save(tiny, new AdapterSettings(AdapterKind.Lora, rank, alpha, ["q_proj", "v_proj"]));

        var error = await Assert.ThrowsAsync<DistTuneException>(() => Plan(tiny, Run + "\ninit_adapter_strict: false"));

        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Create_DoraBiasesAndCopies_StartAsTheBaseIs()
    {
        using var tiny = new TinyBase();
        var path = Path.Combine(tiny.Folder, "model", WeightSources.SingleFileName);
        var shapes = ModelFamilies.Describe(Path.Combine(tiny.Folder, "model")).Weights.Select(weight => new WeightInfo(weight.Name, WeightType.Float32, weight.Shape));
        SafetensorsWriter.Write(path, shapes, (weight, stream) => SafetensorsWriter.WriteValues(stream, [.. Enumerable.Repeat(0.25f, (int)weight.Length)], weight.Type));

        var run = await Plan(tiny, Run.Replace("init_adapter: start", "use_dora: true\nmodules_to_save: [norm]", StringComparison.Ordinal));

        Assert.Equal(2, run.Plan.Layout.Entries.Count(entry => entry.Role == TensorRole.Magnitude));
        foreach (var entry in run.Plan.Layout.Entries.Where(entry => entry.Role is TensorRole.Magnitude or TensorRole.Weight))
        {
            // A row has eight values.
            var expected = entry.Role == TensorRole.Weight ? 0.25f : (float)Math.Sqrt(8 * 0.0625);
            Assert.All(run.InitialAdapter.Values.Span.Slice((int)entry.Offset, (int)entry.Length).ToArray(), value => Assert.Equal(expected, value));
        }
    }

    [Fact]
    public async Task Create_DoraOverFourBits_StartsFromTheLengthsThatTheRunComputesWith()
    {
        using var tiny = new TinyBase();
        var model = Path.Combine(tiny.Folder, "model");
        var spec = ModelFamilies.Describe(model);
        var shapes = spec.Weights.Select(weight => new WeightInfo(weight.Name, WeightType.Float32, weight.Shape));
        SafetensorsWriter.Write(Path.Combine(model, WeightSources.SingleFileName), shapes, (weight, stream) =>
            SafetensorsWriter.WriteValues(stream, [.. Enumerable.Range(0, (int)weight.Length).Select(i => (float)CounterRandom.Normal(5, CounterRandom.Stream(weight.Name), (ulong)i))], weight.Type));
        var folder = Directory.CreateDirectory(Path.Combine(tiny.Folder, "four-bits")).FullName;
        FourBitFolder.Write(folder, model, spec, new FourBitSettings());
        using var restored = WeightSources.Open(folder);

        var run = await Plan(tiny, Run.Replace("init_adapter: start", "adapter: qlora\nuse_dora: true", StringComparison.Ordinal));

        foreach (var entry in run.Plan.Layout.Entries.Where(entry => entry.Role == TensorRole.Magnitude))
        {
            var matrix = new float[entry.Length * 8];
            restored.ReadFloat32(entry.Module + ".weight", matrix);
            var expected = matrix.Chunk(8).Select(row => (float)Math.Sqrt(row.Sum(value => (double)value * value)));
            Assert.Equal(expected, run.InitialAdapter.Values.Span.Slice((int)entry.Offset, (int)entry.Length).ToArray());
        }
    }

    private static float[] Save(TinyBase tiny, AdapterSettings settings)
    {
        var layout = AdapterLayout.Create(ModelFamilies.Describe(Path.Combine(tiny.Folder, "model")), settings);
        var values = new float[layout.Length];
        foreach (var entry in layout.Entries)
        {
            values.AsSpan((int)entry.Offset, (int)entry.Length).Fill(0.5f);
        }

        PeftAdapter.Save(Path.Combine(tiny.Folder, "start"), layout, values, settings, "model");
        return values;
    }

    private static Task<PreparedRun> Plan(TinyBase tiny, string yaml) => RunPlanner.CreateAsync(
        RunConfigLoader.Load(new ConfigSource(yaml, "run.yaml", tiny.Folder), [], tiny.Folder), bfloat16ByDefault: false, TestContext.Current.CancellationToken);
}
