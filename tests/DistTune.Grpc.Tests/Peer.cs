using System.Diagnostics;
using System.Globalization;

namespace DistTune.Grpc.Tests;

/// <summary>A gRPC implementation by others, run as a process.</summary>
internal sealed class Peer : IDisposable
{
    private readonly Process _process;

    private Peer(Process process, int port)
    {
        _process = process;
        Port = port;
    }

    public int Port { get; }

    /// <summary>Why a peer can't be used here, or null.</summary>
    public static string? Missing(string language) => language switch
    {
        "python" => Succeeds("/usr/bin/python3", ["-c", "import grpc"]) ? null : "python3-grpcio is not installed (apt-get install python3-grpcio)",
        "node" => NodeModules is null ? "@grpc/grpc-js is not installed (npm install @grpc/grpc-js @grpc/proto-loader, folder named by DISTTUNE_NODE_MODULES)" : null,
        _ => throw new ArgumentOutOfRangeException(nameof(language), language, "python or node"),
    };

    public static async Task<Peer> ServeAsync(string language)
    {
        var process = Start(language, ["serve"]);
        var line = await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(120));
        return new Peer(process, int.Parse(line!, CultureInfo.InvariantCulture));
    }

    /// <summary>Lets the peer's client try a server; returns what it printed.</summary>
    public static async Task<(int ExitCode, string Output)> CheckAsync(string language, int port)
    {
        using var process = Start(language, ["check", port.ToString(CultureInfo.InvariantCulture)]);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(120));
        return (process.ExitCode, await output + await errors);
    }

    public void Dispose()
    {
        _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private static string? NodeModules
    {
        get
        {
            var folder = Environment.GetEnvironmentVariable("DISTTUNE_NODE_MODULES");
            return folder is not null && Directory.Exists(Path.Combine(folder, "@grpc", "grpc-js")) ? folder : null;
        }
    }

    private static Process Start(string language, string[] arguments)
    {
        var folder = Path.Combine(AppContext.BaseDirectory, "peers");
        var start = language == "python"
            ? new ProcessStartInfo("/usr/bin/python3", [Path.Combine(folder, "peer.py"), .. arguments])
            : new ProcessStartInfo("node", [Path.Combine(folder, "peer.js"), .. arguments]);
        start.RedirectStandardInput = start.RedirectStandardOutput = start.RedirectStandardError = true;
        return Process.Start(start)!;
    }

    private static bool Succeeds(string program, string[] arguments)
    {
        if (!File.Exists(program))
        {
            return false;
        }

        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
