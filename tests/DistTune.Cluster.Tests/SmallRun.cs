using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Planning;
using DistTune.Core.Quantization;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Modeling;

namespace DistTune.Cluster.Tests;

/// <summary>A run over the smallest golden model: its files in a folder of its own, and what it comes to in this process.</summary>
internal sealed class SmallRun : IDisposable
{
    /// <summary>Optimizer steps of a run that something happens to in its middle: far more than pass before a test has acted.</summary>
    public const int ManySteps = 60;

    private const int FewSteps = 8;

    private static readonly Dictionary<string, Lazy<Task<string>>> Expected = new(StringComparer.Ordinal)
    {
        ["lora"] = new(() => ComputeInProcessAsync("lora", FewSteps)),
        ["qlora"] = new(() => ComputeInProcessAsync("qlora", FewSteps)),
    };

    private static readonly Lazy<Task<string>> ExpectedAfterMany = new(() => ComputeInProcessAsync("lora", ManySteps));

    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-cluster-").FullName;

    /// <param name="adapter">Kind of adapter, or the lines of the configuration that say what is trained.</param>
    /// <param name="biases">Whether the base's linear modules get biases.</param>
    /// <param name="steps">Optimizer steps.</param>
    public SmallRun(string adapter = "lora", bool biases = false, int steps = FewSteps)
    {
        var golden = Path.Combine(RepositoryRoot(), "tests", "golden");
        var model = Directory.CreateDirectory(Path.Combine(_folder, "base")).FullName;
        foreach (var name in (string[])["config.json", "model.safetensors"])
        {
            File.Copy(Path.Combine(golden, "models", "llama-tiny", name), Path.Combine(model, name));
        }

        foreach (var name in (string[])["tokenizer.json", "tokenizer_config.json"])
        {
            File.Copy(Path.Combine(golden, "tokenizers", "bpe512", name), Path.Combine(model, name));
        }

        if (biases)
        {
            AddBiases(model);
        }

        File.WriteAllLines(Path.Combine(_folder, "rows.jsonl"), Enumerable.Range(0, 24).Select(Row));
        var lines = adapter.Contains(':', StringComparison.Ordinal) ? adapter : $"adapter: {adapter}\nlora_r: 4\nlora_alpha: 8";
        File.WriteAllText(ConfigPath, lines + "\n" + string.Create(CultureInfo.InvariantCulture, $"max_steps: {steps}\n") + """
            base_model: base
            datasets: [{path: rows.jsonl, type: alpaca}]
            val_set_size: 4
            sequence_len: 96
            micro_batch_size: 2
            gradient_accumulation_steps: 3
            learning_rate: 1e-2
            bf16: false
            seed: 7
            eval_samples: 2
            max_new_tokens: 8
            output_dir: out
            """);
    }

    /// <summary>Where the processes of this run cache.</summary>
    public string CacheFolder => Path.Combine(_folder, "cache");

    public string ConfigPath => Path.Combine(_folder, "run.yaml");

    public string OutputFolder => Path.Combine(_folder, "out");

    public string AdapterFile => Path.Combine(_folder, "out", "adapter", PeftAdapter.WeightsName);

    /// <summary>SHA-256 of the adapter that one lane in this process comes to.</summary>
    public static Task<string> ExpectedAdapterAsync(string adapter = "lora") => Expected[adapter].Value;

    /// <summary>The same of a LoRA run of <see cref="ManySteps"/>.</summary>
    public static Task<string> ExpectedAdapterAfterManyStepsAsync() => ExpectedAfterMany.Value;

    /// <summary>What the summary says of the adapter.</summary>
    public string SummarisedAdapter()
    {
        using var summary = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder, "out", RunFolder.SummaryName)));
        return summary.RootElement.GetProperty("adapter_sha256").GetString()!;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static async Task<string> ComputeInProcessAsync(string adapter, int steps)
    {
        using var small = new SmallRun(adapter, steps: steps);
        var config = RunConfigLoader.Load(small.ConfigPath, []);
        var run = await RunPlanner.CreateAsync(config, bfloat16ByDefault: false, CancellationToken.None);
        using var full = WeightSources.Open(run.Plan.BaseModel);
        using var weights = run.Plan.Quantization is { } quantization ? new QuantizingWeights(full, run.Spec, quantization, ownsSource: false) : full;
        using var model = BaseModel.Load(weights, run.Spec, keepsFourBit: run.Plan.Quantization is not null);
        await using var computer = new TorchGroupComputer(model, run.Plan.Layout, run.Plan.Adapter, run.Plan.Pass, lanes: 1);
        using var files = new RunFiles(run, TimeProvider.System);
        var observer = new CompositeRunObserver(files, new RecordingObserver());
        var result = await InProcessTraining.RunAsync(run.Plan, run.InitialAdapter, [computer], observer, TimeProvider.System, CancellationToken.None);
        return files.Complete(result, 0).AdapterSha256;
    }

    private static void AddBiases(string model)
    {
        var path = Path.Combine(model, "config.json");
        var config = JsonNode.Parse(File.ReadAllText(path))!;
        config["attention_bias"] = true;
        config["mlp_bias"] = true;
        File.WriteAllText(path, config.ToJsonString());
        var spec = ModelFamilies.Describe(model);
        var weightsPath = Path.Combine(model, "model.safetensors");
        File.Move(weightsPath, weightsPath + ".old");
        using (var old = SafetensorsFile.Open(weightsPath + ".old"))
        {
            SafetensorsWriter.Write(weightsPath, spec.Weights.Select(weight => new WeightInfo(weight.Name, WeightType.Float32, weight.Shape)), (weight, stream) =>
            {
                var values = new float[weight.Length];
                if (old.Find(weight.Name) is not null)
                {
                    old.ReadFloat32(weight.Name, values);
                }
                else
                {
                    var stream64 = CounterRandom.Stream(weight.Name);
                    values = [.. values.Select((_, index) => (float)(0.05 * CounterRandom.Normal(1, stream64, (ulong)index)))];
                }

                SafetensorsWriter.WriteValues(stream, values, WeightType.Float32);
            });
        }

        File.Delete(weightsPath + ".old");
    }

    private static string Row(int index)
    {
        string[] words = ["the", "wheat", "field", "needs", "water", "before", "noon", "and", "soil", "keeps", "it", "until", "night", "so", "bees", "visit"];
        string Words(int first, int count) => string.Join(' ', Enumerable.Range(first, count).Select(word => words[word % words.Length]));
        return JsonSerializer.Serialize(new { instruction = Words(3 * index, 3 + (index % 4)), output = Words(5 * index, 4 + (index % 5)) });
    }

    internal static string RepositoryRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "DistTune.sln")))
        {
            folder = folder.Parent ?? throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"DistTune.sln is not above {AppContext.BaseDirectory}."));
        }

        return folder.FullName;
    }
}
