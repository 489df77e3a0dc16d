using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting.Running;

/// <summary>
/// Finds the built program of a project, in the same configuration as the app host: next to the app host in an artifacts folder
/// (<c>artifacts/bin/PROJECT/CONFIGURATION</c>), or in the project's own <c>bin</c>. Only what was never built is built.
/// </summary>
internal sealed class BuildOutput(Assembly? appHost)
{
    private readonly string _configuration = appHost?.GetCustomAttribute<AssemblyConfigurationAttribute>()?.Configuration is { Length: > 0 } name ? name : "Debug";

    /// <summary>The runtime's own <c>dotnet</c>.</summary>
    public static string DotnetPath { get; } = Path.GetFullPath(
        Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet"));

    /// <summary>The program's assembly; built first if it is missing.</summary>
    public async Task<string> LocateAsync(ProjectAnnotation project, Action<string> log, CancellationToken cancellationToken)
    {
        if (Find(project) is { } found)
        {
            return found;
        }

        log($"{project.ProjectFile} has not been built yet; building it.");
        await BuildAsync(project, log, cancellationToken);
        return Find(project) ?? throw new DistributedApplicationException(
            $"'{project.ProjectFile}' was built, but none of these folders holds its program: {string.Join(", ", Folders(project))}.");
    }

    private string? Find(ProjectAnnotation project) =>
        Folders(project)
            .Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, "*.runtimeconfig.json"))
            .Select(file => file[..^".runtimeconfig.json".Length] + ".dll")
            .FirstOrDefault(File.Exists);

    private IEnumerable<string> Folders(ProjectAnnotation project)
    {
        // …/artifacts/bin/AppHost/release[_net10.0] → …/artifacts/bin/PROJECT/release[_net10.0]
        var own = new DirectoryInfo(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));
        if (own.Parent?.Parent is { } outputs)
        {
            yield return Path.Combine(outputs.FullName, Path.GetFileNameWithoutExtension(project.ProjectFile), own.Name);
        }

        yield return Path.Combine(Path.GetDirectoryName(project.ProjectFile)!, "bin", _configuration, own.Name);
    }

    private async Task BuildAsync(ProjectAnnotation project, Action<string> log, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(DotnetPath, ["build", project.ProjectFile, "-c", _configuration, "-v", "quiet", "--nologo"])
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        using var build = Process.Start(start) ?? throw new DistributedApplicationException($"'{DotnetPath} build' did not start.");
        try
        {
            while (await build.StandardOutput.ReadLineAsync(cancellationToken) is { } line)
            {
                log(line);
            }

            await build.WaitForExitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            build.Kill(entireProcessTree: true);
            throw;
        }

        if (build.ExitCode != 0)
        {
            throw new DistributedApplicationException($"'{project.ProjectFile}' does not build; the lines above say why.");
        }
    }
}
