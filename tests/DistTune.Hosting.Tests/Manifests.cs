using System.Diagnostics;
using YamlDotNet.RepresentationModel;

namespace DistTune.Hosting.Tests;

/// <summary>What <c>kubectl kustomize</c> makes of a folder.</summary>
internal sealed class Manifests
{
    private readonly List<YamlMappingNode> _documents;

    private Manifests(List<YamlMappingNode> documents) => _documents = documents;

    public IEnumerable<YamlMappingNode> OfKind(string kind) => _documents.Where(document => Text(document, "kind") == kind);

    public YamlMappingNode Single(string kind, string name) => OfKind(kind).Single(document => Text(document, "metadata", "name") == name);

    /// <summary>Renders a folder; the test is skipped where there is no kubectl.</summary>
    public static async Task<Manifests> RenderAsync(params string[] folder)
    {
        var kubectl = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Select(path => Path.Combine(path, "kubectl")).FirstOrDefault(File.Exists);
        Assert.SkipWhen(kubectl is null, "kubectl is not installed (Debian package kubernetes-client, or see kubernetes.io).");
        using var process = Process.Start(new ProcessStartInfo(kubectl!, ["kustomize", Repository.PathOf(folder)])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var text = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 0, await errors);
        var stream = new YamlStream();
        stream.Load(new StringReader(text));
        return new Manifests([.. stream.Documents.Select(document => (YamlMappingNode)document.RootNode)]);
    }

    /// <summary>The node at a path of keys and indices; null if there is none.</summary>
    public static YamlNode? At(YamlNode node, params object[] path)
    {
        YamlNode? current = node;
        foreach (var step in path)
        {
            current = (current, step) switch
            {
                (YamlMappingNode map, string key) => map.Children.TryGetValue(new YamlScalarNode(key), out var value) ? value : null,
                (YamlSequenceNode list, int index) => index < list.Children.Count ? list.Children[index] : null,
                _ => null,
            };
        }

        return current;
    }

    public static string? Text(YamlNode node, params object[] path) => (At(node, path) as YamlScalarNode)?.Value;

    public static IReadOnlyList<YamlNode> List(YamlNode node, params object[] path) => [.. (At(node, path) as YamlSequenceNode)?.Children ?? []];
}
