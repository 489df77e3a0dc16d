using System.Globalization;
using DistTune.Core.Access;

namespace DistTune.Cluster.Tests.Network;

/// <summary>
/// A run whose coordinator and workers are processes, each in its own namespace of a network. They know each other by the run's
/// certificates alone, as they do across machines.
/// </summary>
internal sealed class NetworkedRun
{
    private const int Port = 8081;
    private readonly SmallRun _run;
    private readonly PacketNetwork _network;
    private readonly string _address;
    private readonly string _certificates;

    public NetworkedRun(SmallRun run, PacketNetwork network)
    {
        (_run, _network) = (run, network);
        var host = network.Coordinator.Space.Address.ToString();
        _address = string.Create(CultureInfo.InvariantCulture, $"https://{host}:{Port}");
        _certificates = Path.Combine(Path.GetDirectoryName(run.ConfigPath)!, "tls");
        RunCertificates.Write(_certificates, [host], TimeSpan.FromDays(1), TimeProvider.System.GetUtcNow());
    }

    public ServiceProcess StartCoordinator(IReadOnlyDictionary<string, string> environment, params string[] arguments) => new(
        "DistTune.Coordinator",
        [_run.ConfigPath, .. arguments],
        new Dictionary<string, string>([.. environment, .. Certificate(RunCertificates.Coordinator)])
        {
            ["Kestrel__Endpoints__grpc__Url"] = _address,
            ["Kestrel__Endpoints__grpc__Protocols"] = "Http2",
        },
        networkNamespace: _network.Coordinator.Space.Name);

    public ServiceProcess StartWorker(int rank, int threads = 1) => new(
        "DistTune.Worker",
        [],
        new Dictionary<string, string>(Certificate("worker"))
        {
            ["DISTTUNE_COORDINATOR"] = _address,
            ["DISTTUNE_CACHE"] = _run.CacheFolder,
            ["DISTTUNE_WORKER_RANK"] = rank.ToString(CultureInfo.InvariantCulture),
            ["DISTTUNE_THREADS"] = threads.ToString(CultureInfo.InvariantCulture),
            ["OMP_NUM_THREADS"] = "1",
            ["OPENBLAS_NUM_THREADS"] = "1",
        },
        networkNamespace: _network.Workers[rank].Space.Name);

    private Dictionary<string, string> Certificate(string name) => new()
    {
        [CertificateFiles.AuthorityVariable] = Path.Combine(_certificates, RunCertificates.AuthorityFile),
        [CertificateFiles.CertificateVariable] = Path.Combine(_certificates, $"{name}.pem"),
        [CertificateFiles.KeyVariable] = Path.Combine(_certificates, $"{name}-key.pem"),
    };
}
