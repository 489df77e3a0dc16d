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
    private const string Tokenizer = "tests/golden/tokenizers/bpe512";
    private const int Rows = 64;
    private const int WordsOfAQuestion = 24;
    private readonly FaultRunShape _shape;

    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-faults-").FullName;
    private readonly string _token = Convert.ToHexString(RandomNumberGenerator.GetBytes(16));
    private readonly int _port = FreePort();

    /// <summary>Writes the run's files.</summary>
    public FaultRun(FaultRunShape shape)
    {
        _shape = shape;
        var model = Directory.CreateDirectory(Path.Combine(_folder, "base")).FullName;
        File.WriteAllText(Path.Combine(model, "config.json"), shape.Config);
        foreach (var name in (string[])["tokenizer.json", "tokenizer_config.json"])
        {
            File.Copy(Repository.PathOf($"{Tokenizer}/{name}"), Path.Combine(model, name));
        }

        using var document = JsonDocument.Parse(shape.Config);
        using var weights = new RandomWeights(ModelFamilies.Describe(document.RootElement, "the benchmark's configuration"));
        SafetensorsWriter.Write(Path.Combine(model, "model.safetensors"), weights.Weights, (weight, stream) =>
        {
            var values = new float[weight.Length];
            weights.ReadFloat32(weight.Name, values);
            SafetensorsWriter.WriteValues(stream, values, weight.Type);
        });
        File.WriteAllLines(Path.Combine(_folder, "rows.jsonl"), Enumerable.Range(0, Rows).Select(row => JsonSerializer.Serialize(new
        {
            instruction = string.Join(' ', Enumerable.Range(row, WordsOfAQuestion)),
            output = string.Join(' ', Enumerable.Range(7 * row, shape.WordsOfAnAnswer)),
        })));
        File.WriteAllText(Path.Combine(_folder, "run.yaml"), shape.Yaml);
    }

    /// <summary>What is trained.</summary>
    public string Description => _shape.Description;

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
