using System.Xml.Linq;

namespace DistTune.Hosting.Tests;

public sealed class ReferenceDirectionTests
{
    /// <summary>What each project may build on, directly. Whatever is not here is not allowed.</summary>
    private static readonly Dictionary<string, string[]> Allowed = new(StringComparer.Ordinal)
    {
        ["DistTune.Core"] = [],
        ["DistTune.Engine"] = ["DistTune.Core"],
        ["DistTune.Modeling"] = ["DistTune.Core"],
        ["DistTune.Protocol"] = ["DistTune.Core", "DistTune.Engine"],
        ["DistTune.ServiceDefaults"] = [],
        ["DistTune.Coordinator"] = ["DistTune.Core", "DistTune.Engine", "DistTune.Protocol", "DistTune.ServiceDefaults"],
        ["DistTune.Worker"] = ["DistTune.Core", "DistTune.Engine", "DistTune.Modeling", "DistTune.Protocol", "DistTune.ServiceDefaults"],
        ["DistTune.Cli"] = ["DistTune.Core", "DistTune.Engine", "DistTune.Modeling", "DistTune.Protocol"],
        ["DistTune.AppHost"] = ["DistTune.ServiceDefaults"],
    };

    /// <summary>Packages that must never reach a project, not even through another one.</summary>
    private static readonly Dictionary<string, string[]> Forbidden = new(StringComparer.Ordinal)
    {
        ["DistTune.Core"] = ["UsesTorchSharp", "UsesGrpcApi", "UsesGrpcServer", "UsesGrpcClient", "UsesAspireHosting", "UsesOpenTelemetryHosting"],
        ["DistTune.Engine"] = ["UsesTorchSharp", "UsesGrpcApi", "UsesGrpcServer", "UsesGrpcClient", "UsesAspireHosting", "UsesOpenTelemetryHosting"],
        ["DistTune.Coordinator"] = ["UsesTorchSharp"],
        ["DistTune.Modeling"] = ["UsesGrpcApi", "UsesGrpcServer", "UsesGrpcClient"],
    };

    private static IEnumerable<string> ProjectFiles =>
        new[] { "src", "aspire" }
            .SelectMany(folder => Directory.EnumerateFiles(Repository.PathOf(folder), "*.csproj", SearchOption.AllDirectories))
            .Where(file => !file.Contains($"{Path.DirectorySeparatorChar}standins{Path.DirectorySeparatorChar}", StringComparison.Ordinal));

    public static TheoryData<string> Projects => [.. ProjectFiles.Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_project_builds_only_on_those_below_it(string project)
    {
        Assert.True(Allowed.TryGetValue(project, out var allowed), $"{project} has no place in the house yet: add it here and to the design's picture.");

        Assert.Empty(References(project).Except(allowed!, StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_project_stays_free_of_what_its_layer_must_not_know(string project)
    {
        var reached = new HashSet<string>(StringComparer.Ordinal);
        var open = new Queue<string>([project]);
        while (open.TryDequeue(out var next))
        {
            if (reached.Add(next))
            {
                foreach (var below in References(next))
                {
                    open.Enqueue(below);
                }
            }
        }

        var used = reached.SelectMany(Uses).ToArray();

        Assert.Empty(used.Intersect(Forbidden.GetValueOrDefault(project, []), StringComparer.Ordinal));
    }

    private static IEnumerable<string> References(string project) =>
        Load(project).Descendants("ProjectReference")
            .Select(reference => reference.Attribute("Include")!.Value.Replace('\\', '/'))
            .Where(path => !path.Contains("/standins/", StringComparison.Ordinal))
            .Select(path => Path.GetFileNameWithoutExtension(path));

    private static IEnumerable<string> Uses(string project) =>
        Load(project).Descendants().Where(element => element.Name.LocalName.StartsWith("Uses", StringComparison.Ordinal) && element.Value == "true")
            .Select(element => element.Name.LocalName);

    private static XDocument Load(string project) => XDocument.Load(ProjectFiles.Single(file => Path.GetFileNameWithoutExtension(file) == project));
}
