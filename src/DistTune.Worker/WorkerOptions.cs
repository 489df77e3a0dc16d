using System.Globalization;
using DistTune.Core;
using DistTune.Core.Access;

namespace DistTune.Worker;

/// <summary>What the process was started with.</summary>
/// <param name="Coordinator">Address of the coordinator's gRPC endpoint.</param>
/// <param name="Token">The run's join token; null where a certificate shows who the worker is.</param>
/// <param name="Name">The worker's name in logs and metrics.</param>
/// <param name="Rank">Worker rank: a label in metrics.</param>
/// <param name="Threads">Lanes: groups computed at the same time.</param>
/// <param name="BaseModel">Where this machine has the base; null takes the run's path.</param>
internal sealed record WorkerOptions(Uri Coordinator, string? Token, string Name, int Rank, int Threads, string? BaseModel)
{
    /// <summary>Certificates for an https coordinator; null trusts what the machine trusts.</summary>
    public CertificateFiles? Tls { get; init; }

    private const int MostThreads = 4096;

    /// <summary>Whether a base that is predicted not to fit into memory is refused.</summary>
    public bool MemoryCheck { get; init; } = true;

    private static readonly string[] AddressVariables =
    [
        "DISTTUNE_COORDINATOR",
        "services__coordinator__grpc__0",
        "services__coordinator__http__0",
    ];

    /// <summary>Reads the environment and reports everything that is wrong at once.</summary>
    /// <exception cref="DistTuneException">Something is missing or wrong.</exception>
    public static WorkerOptions FromEnvironment(Func<string, string?> read, int cores)
    {
        var faults = new List<string>();
        var address = ReadAddress(read, faults);
        var tls = ReadTls(read, address, faults);
        var token = ReadToken(read, tls?.Certificate is not null, faults);
        CheckThatNobodyOverhears(read, address, token, faults);
        var rank = ReadNumber(read, "DISTTUNE_WORKER_RANK", 0, 0, int.MaxValue, faults);
        var threads = ReadNumber(read, "DISTTUNE_THREADS", cores, 1, MostThreads, faults);
        var name = read("DISTTUNE_WORKER_NAME") is { Length: > 0 } given ? given : string.Create(CultureInfo.InvariantCulture, $"worker-{rank}");
        return faults.Count == 0
            ? new WorkerOptions(address!, token, name, rank, threads, read("DISTTUNE_BASE_MODEL") is { Length: > 0 } path ? path : null)
            {
                Tls = tls,
                MemoryCheck = read("DISTTUNE_MEMORY_CHECK") is not ("false" or "0"),
            }
            : throw new DistTuneException(FaultKind.Configuration, string.Join(Environment.NewLine, faults));
    }

    private static Uri? ReadAddress(Func<string, string?> read, List<string> faults)
    {
        var variable = AddressVariables.FirstOrDefault(name => read(name) is { Length: > 0 });
        if (variable is null)
        {
            faults.Add("The worker does not know its coordinator. Set DISTTUNE_COORDINATOR to its gRPC address, such as http://127.0.0.1:8081.");
            return null;
        }

        if (Uri.TryCreate(read(variable), UriKind.Absolute, out var address) && address.Scheme is "http" or "https")
        {
            return address;
        }

        faults.Add($"{variable} must be an http or https address, got '{read(variable)}'. Set it to the coordinator's gRPC address.");
        return null;
    }

    private static CertificateFiles? ReadTls(Func<string, string?> read, Uri? address, List<string> faults)
    {
        try
        {
            var tls = CertificateFiles.FromEnvironment(read);
            if (tls is not null && address is { Scheme: "http" })
            {
                faults.Add($"Certificates are configured, and the coordinator's address is {address}, without TLS. Use its https address.");
            }

            return tls;
        }
        catch (DistTuneException fault)
        {
            faults.Add(fault.Message);
            return null;
        }
    }

    private static string? ReadToken(Func<string, string?> read, bool hasCertificate, List<string> faults)
    {
        try
        {
            var token = SecretVariable.Read("DISTTUNE_TOKEN", read);
            if (token is null && !hasCertificate)
            {
                faults.Add("The worker has no join token. Set DISTTUNE_TOKEN or DISTTUNE_TOKEN_FILE to what the coordinator was started with.");
            }

            return token;
        }
        catch (DistTuneException fault)
        {
            faults.Add(fault.Message);
            return null;
        }
    }

    private static void CheckThatNobodyOverhears(Func<string, string?> read, Uri? address, string? token, List<string> faults)
    {
        try
        {
            if (!PlaintextTokens.AreAllowed(read) && token is not null && address is { Scheme: "http" } && !PlaintextTokens.IsThisMachine(address.DnsSafeHost))
            {
                faults.Add($"The coordinator's address is {address}, without TLS: whoever is on the way could read the join token. {PlaintextTokens.Cure}");
            }
        }
        catch (DistTuneException fault)
        {
            faults.Add(fault.Message);
        }
    }

    private static int ReadNumber(Func<string, string?> read, string name, int fallback, int least, int most, List<string> faults)
    {
        if (read(name) is not { Length: > 0 } text)
        {
            return fallback;
        }

        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
        {
            return number;
        }

        faults.Add(string.Create(CultureInfo.InvariantCulture, $"{name} must be a whole number from {least} to {most}, got '{text}'."));
        return fallback;
    }

    /// <summary>Leaves the token out, wherever options are printed.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Name} (rank {Rank}, {Threads} threads) of {Coordinator}");
}
