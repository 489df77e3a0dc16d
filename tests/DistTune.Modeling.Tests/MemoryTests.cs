using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using DistTune.Core.Formats;
using DistTune.Core.Memory;
using DistTune.Core.Models;
using DistTune.Core.Planning;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Modeling.Tests;

/// <summary>What a worker's process holds at most, against what was predicted. Alone, because a process has one peak.</summary>
[Collection(nameof(MemoryTests))]
public sealed partial class MemoryTests
{
    private const double Tolerance = 0.10;

    [Theory]
    [Trait("Tier", "All")]
    [InlineData("nf4", 30, 512, 1, true)]
    [InlineData("nf4", 30, 512, 2, true)]
    [InlineData("nf4", 30, 1024, 1, false)]
    [InlineData("fp32", 30, 512, 1, true)]
    [InlineData("bf16", 30, 512, 1, true)]
    [InlineData("fp32", 3, 512, 1, true)]
    public Task The_peak_of_a_real_shape_is_predicted_within_a_tenth(string held, int layers, int tokens, int lanes, bool checkpointing) =>
        MeasureAsync(Shape(layers), held, tokens, lanes, checkpointing);

    [Fact]
    public Task The_peak_of_a_shallow_shape_in_four_bits_is_predicted_within_a_tenth() => MeasureAsync(Shape(layers: 3), "nf4", 512, 1, checkpointing: true);

    private static async Task MeasureAsync(DecoderSpec spec, string held, int tokens, int lanes, bool checkpointing)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The peak of resident memory is read from /proc.");
        await WarmUpAsync();
        var plan = Plan(spec, held, tokens, checkpointing);
        var question = MemoryQuestion.Of(spec, plan, workers: 1, lanes, withCoordinator: false);
        var predicted = MemoryPredictor.Predict(question).Parts.Where(part => part.Name != "process").Sum(part => part.Bytes);

        GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        // What earlier tests freed is given back, so that it does not hide in what was there before.
        _ = Trim(0);
        File.WriteAllText("/proc/self/clear_refs", "5");
        var before = Field("VmRSS:");
        await RunAsync(spec, plan, lanes);
        var peak = Field("VmHWM:") - before;

        var share = (double)peak / predicted;
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{held} {tokens} tokens, {lanes} lanes: measured {peak >> 20} MiB, predicted {predicted >> 20} MiB, {share:0.000}; {string.Join(", ", MemoryPredictor.Predict(question).Parts.Select(part => $"{part.Name} {part.Bytes >> 20}"))}"));
        Assert.InRange(share, 1 - Tolerance, 1 + Tolerance);
    }

    private static async Task WarmUpAsync()
    {
        using var tiny = new TinyLlama(quantization: new FourBitSettings());
        await tiny.ComputeAsync(tiny.UnevenGroup());
    }

    private static async Task RunAsync(DecoderSpec spec, RunPlan plan, int lanes)
    {
        using var source = new Noise(spec);
        using var weights = plan.Quantization is { } quantization ? (IWeightSource)new QuantizingWeights(source, spec, quantization, ownsSource: false) : source;
        using var model = BaseModel.Load(weights, spec, plan.BaseInBFloat16 ? BasePrecision.BFloat16 : BasePrecision.Float32, keepsFourBit: plan.Quantization is not null);
        await using var computer = new TorchGroupComputer(model, plan.Layout, plan.Adapter, plan.Pass, lanes);
        var values = AdapterInitialization.Create(plan.Layout, plan.Adapter, plan.Seed);
        for (var step = 0; step < plan.Steps; step++)
        {
            values[0] += step;
            var version = AdapterHash.Version(values);
            await Task.WhenAll(plan.Groups.TrainingGroups(step).Select(group => computer.ComputeAsync(group, version, Nowhere.Instance, TestContext.Current.CancellationToken)));
        }
    }

    private static RunPlan Plan(DecoderSpec spec, string held, int tokens, bool checkpointing)
    {
        const int Steps = 3;
        const int Groups = 2;
        var adapter = new AdapterSettings(AdapterKind.Lora, 8, 16, [AdapterLayout.AllLinear]);
        var rows = Enumerable.Range(0, Steps * Groups).Select(row => new PlannedSample(
            [.. Enumerable.Range(0, tokens).Select(position => ((row * 7919) + (position * 31)) % spec.VocabularySize)], [new LabelSpan(tokens / 2, tokens)])).ToImmutableArray();
        return new RunPlan
        {
            RunId = "memory",
            Hashes = new RunHashes("", "", "", "", ""),
            BaseModel = "",
            BaseInBFloat16 = held == "bf16",
            Quantization = held == "nf4" ? new FourBitSettings() : null,
            GradientCheckpointing = checkpointing,
            Seed = 1,
            Adapter = adapter,
            Layout = AdapterLayout.Create(spec, adapter),
            Optimizer = new OptimizerSettings(),
            Schedule = new ScheduleSettings(ScheduleKind.Constant, 1e-4, 0, Steps),
            MaxGradientNorm = 1,
            Steps = Steps,
            StepsPerEpoch = Steps,
            Groups = new PlannedGroups("memory", StepPlan.Create(rows.Length, 1, Groups, 1, Steps, 0, shuffle: false), rows, [], [], new GenerationSettings(1, [])),
        };
    }

    // SmolLM2-135M's shape, which has 30 layers.
    private static DecoderSpec Shape(int layers)
    {
        using var json = System.Text.Json.JsonDocument.Parse(string.Create(CultureInfo.InvariantCulture, $$"""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
             "num_hidden_layers": {{layers}}, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
             "rope_theta": 100000.0, "rms_norm_eps": 1e-05, "hidden_act": "silu", "tie_word_embeddings": true}
            """));
        return ModelFamilies.Describe(json.RootElement, "shape");
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint kept);

    private static long Field(string name) =>
        long.Parse(File.ReadLines("/proc/self/status").Single(line => line.StartsWith(name, StringComparison.Ordinal))[name.Length..].Trim().Split(' ')[0], CultureInfo.InvariantCulture) * 1024;

    private sealed class Nowhere : IGradientSink
    {
        public static Nowhere Instance { get; } = new();

        public void Write(long offset, ReadOnlySpan<float> values)
        {
        }

        public void Progress()
        {
        }
    }

    private sealed class Noise(DecoderSpec spec) : IWeightSource
    {
        private readonly ImmutableDictionary<string, WeightInfo> _byName = spec.Weights.ToImmutableDictionary(
            weight => weight.Name, weight => new WeightInfo(weight.Name, WeightType.Float32, weight.Shape), StringComparer.Ordinal);

        public ImmutableArray<WeightInfo> Weights => [.. _byName.Values];

        public WeightInfo? Find(string name) => _byName.GetValueOrDefault(name);

        public void ReadFloat32(string name, Span<float> destination)
        {
            var state = 2463534242u ^ (uint)destination.Length;
            foreach (ref var value in destination)
            {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                value = ((state * (1f / uint.MaxValue)) - 0.5f) * 0.04f;
            }
        }

        public void ReadRaw(string name, Span<byte> destination) => ReadFloat32(name, MemoryMarshal.Cast<byte, float>(destination));

        public void Dispose()
        {
        }
    }
}

/// <summary>Runs nothing beside it.</summary>
[CollectionDefinition(nameof(MemoryTests), DisableParallelization = true)]
public sealed class MemoryCollection;
