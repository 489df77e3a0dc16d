using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;
using DistTune.Cli.Running;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Cli.Benchmarking;

/// <summary>A run for the fault benchmark: a base of random weights, rows, configuration, and the processes that train on it.</summary>
internal sealed class FaultRun : IDisposable
{
    // 27 M parameters; LoRA of rank 128 on all its linear modules trains 10.5 M.
    private const string Config =
        """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 512, "intermediate_size": 1536,
          "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 512,
          "rope_theta": 10000.0, "rms_norm_eps": 1e-05, "hidden_act": "silu", "tie_word_embeddings": true
        }
        """;

    private const string Yaml =
        """
        base_model: base
        lora_r: 128
        lora_alpha: 128
        datasets: [{path: rows.jsonl, type: alpaca}]
        sequence_len: 256
        micro_batch_size: 1
        gradient_accumulation_steps: 4
        max_steps: 100000
        learning_rate: 1e-4
        save_steps: 20
        save_total_limit: 2
        bf16: false
        generate_samples: false
        output_dir: out
        """;

    private const string Tokenizer = "tests/golden/tokenizers/bpe512";
    private const int Rows = 64;

    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-faults-").FullName;
    private readonly string _token = Convert.ToHexString(RandomNumberGenerator.GetBytes(16));
    private readonly int _port = FreePort();

    /// <summary>Writes the run's files.</summary>
    public FaultRun()
    {
        var model = Directory.CreateDirectory(Path.Combine(_folder, "base")).FullName;
        File.WriteAllText(Path.Combine(model, "config.json"), Config);
        foreach (var name in (string[])["tokenizer.json", "tokenizer_config.json"])
        {
            File.Copy(Repository.PathOf($"{Tokenizer}/{name}"), Path.Combine(model, name));
        }

        using var document = JsonDocument.Parse(Config);
        using var weights = new RandomWeights(ModelFamilies.Describe(document.RootElement, "the benchmark's configuration"));
        SafetensorsWriter.Write(Path.Combine(model, "model.safetensors"), weights.Weights, (weight, stream) =>
        {
            var values = new float[weight.Length];
            weights.ReadFloat32(weight.Name, values);
            SafetensorsWriter.WriteValues(stream, values, weight.Type);
        });
        File.WriteAllLines(Path.Combine(_folder, "rows.jsonl"), Enumerable.Range(0, Rows).Select(row => JsonSerializer.Serialize(new
        {
            instruction = string.Join(' ', Enumerable.Range(row, 24)),
            output = string.Join(' ', Enumerable.Range(7 * row, 24)),
        })));
        File.WriteAllText(Path.Combine(_folder, "run.yaml"), Yaml);
    }

    /// <summary>Where the run's files go.</summary>
    public string OutputFolder => Path.Combine(_folder, "out");

    public ServiceUnderTest StartCoordinator() => new(
        "DistTune.Coordinator",
        [Path.Combine(_folder, "run.yaml")],
        [new("DISTTUNE_TOKEN", _token), new("DISTTUNE_HTTP_PORT", "0"), new("DISTTUNE_GRPC_PORT", _port.ToString(CultureInfo.InvariantCulture))]);

    public ServiceUnderTest StartWorker(int rank) => new(
        "DistTune.Worker",
        [],
        [
            new("DISTTUNE_TOKEN", _token),
            new("DISTTUNE_COORDINATOR", string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{_port}")),
            new("DISTTUNE_CACHE", Path.Combine(_folder, "cache")),
            new("DISTTUNE_WORKER_RANK", rank.ToString(CultureInfo.InvariantCulture)),
            new("DISTTUNE_THREADS", "1"),
            new("OMP_NUM_THREADS", "1"),
            new("OPENBLAS_NUM_THREADS", "1"),
        ]);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
