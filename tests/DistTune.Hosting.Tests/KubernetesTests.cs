using System.Globalization;
using YamlDotNet.RepresentationModel;

namespace DistTune.Hosting.Tests;

public sealed class KubernetesTests
{
    [Theory]
    [InlineData("coordinator")]
    [InlineData("worker")]
    public async Task A_pod_is_as_locked_down_as_its_work_allows(string name)
    {
        var pod = Manifests.At((await Manifests.RenderAsync("k8s", "base")).Single("StatefulSet", name), "spec", "template", "spec")!;
        var container = Manifests.At(pod, "containers", 0)!;

        Assert.Equal("false", Manifests.Text(pod, "automountServiceAccountToken"));
        Assert.Equal("true", Manifests.Text(pod, "securityContext", "runAsNonRoot"));
        Assert.Equal("RuntimeDefault", Manifests.Text(pod, "securityContext", "seccompProfile", "type"));
        Assert.Equal("true", Manifests.Text(container, "securityContext", "readOnlyRootFilesystem"));
        Assert.Equal("false", Manifests.Text(container, "securityContext", "allowPrivilegeEscalation"));
        Assert.Equal("ALL", Manifests.Text(container, "securityContext", "capabilities", "drop", 0));
    }

    [Theory]
    [InlineData("coordinator")]
    [InlineData("worker")]
    public async Task Probes_ask_the_paths_that_the_services_map(string name)
    {
        var container = Manifests.At((await Manifests.RenderAsync("k8s", "base")).Single("StatefulSet", name), "spec", "template", "spec", "containers", 0)!;
        var ports = Manifests.List(container, "ports").Select(port => Manifests.Text(port, "name"));

        Assert.Equal("/health", Manifests.Text(container, "startupProbe", "httpGet", "path"));
        Assert.Equal("/health", Manifests.Text(container, "readinessProbe", "httpGet", "path"));
        Assert.Equal("/alive", Manifests.Text(container, "livenessProbe", "httpGet", "path"));
        Assert.All(["startupProbe", "readinessProbe", "livenessProbe"], (string probe) => Assert.Contains(Manifests.Text(container, probe, "httpGet", "port"), ports));
    }

    [Theory]
    [InlineData("coordinator")]
    [InlineData("worker")]
    public async Task A_pod_is_given_longer_to_end_than_the_service_takes_to_drain(string name)
    {
        var pod = Manifests.At((await Manifests.RenderAsync("k8s", "base")).Single("StatefulSet", name), "spec", "template", "spec")!;
        var drain = Manifests.List(pod, "containers", 0, "env").Single(variable => Manifests.Text(variable, "name") == "DOTNET_shutdownTimeoutSeconds");

        var grace = int.Parse(Manifests.Text(pod, "terminationGracePeriodSeconds")!, CultureInfo.InvariantCulture);

        Assert.True(grace > int.Parse(Manifests.Text(drain, "value")!, CultureInfo.InvariantCulture));
    }

    [Fact]
    public async Task Workers_ask_for_a_GPU_and_start_together()
    {
        var workers = (await Manifests.RenderAsync("k8s", "base")).Single("StatefulSet", "worker");
        var pod = Manifests.At(workers, "spec", "template", "spec")!;

        Assert.Equal("Parallel", Manifests.Text(workers, "spec", "podManagementPolicy"));
        Assert.Equal("1", Manifests.Text(pod, "containers", 0, "resources", "limits", "nvidia.com/gpu"));
        Assert.Contains(Manifests.List(pod, "tolerations"), toleration => Manifests.Text(toleration, "key") == "nvidia.com/gpu");
        Assert.Contains(Manifests.List(pod, "volumes"), volume => Manifests.Text(volume, "emptyDir", "medium") == "Memory");
        Assert.NotNull(Manifests.At(pod, "affinity", "podAntiAffinity"));
    }

    [Fact]
    public async Task Workers_find_the_coordinators_service_and_speak_TLS_with_it()
    {
        var manifests = await Manifests.RenderAsync("k8s", "base");
        var address = new Uri(Variable(Container(manifests, "worker"), "services__coordinator__grpc__0")!);
        var service = manifests.Single("Service", address.Host);

        Assert.Contains(Manifests.List(service, "spec", "ports"), port => Manifests.Text(port, "port") == address.Port.ToString(CultureInfo.InvariantCulture));
        Assert.Equal(Uri.UriSchemeHttps, address.Scheme);
        Assert.Equal("https://0.0.0.0:8081", Variable(Container(manifests, "coordinator"), "Kestrel__Endpoints__grpc__Url"));

        // Probes and Prometheus show no certificate, and where they ask there is no gRPC.
        Assert.Equal("http://0.0.0.0:8080", Variable(Container(manifests, "coordinator"), "Kestrel__Endpoints__http__Url"));
        Assert.Equal("Http1", Variable(Container(manifests, "coordinator"), "Kestrel__Endpoints__http__Protocols"));
        Assert.Contains(DocumentedHosts(), host => host == address.Host);
    }

    [Theory]
    [InlineData("coordinator")]
    [InlineData("worker")]
    public async Task A_pod_has_its_own_certificate_and_nobody_elses(string name)
    {
        var manifests = await Manifests.RenderAsync("k8s", "base");
        var container = Container(manifests, name);
        var volume = Manifests.List(manifests.Single("StatefulSet", name), "spec", "template", "spec", "volumes").Single(volume => Manifests.Text(volume, "name") == "certificates");
        var mount = Manifests.List(container, "volumeMounts").Single(mount => Manifests.Text(mount, "name") == "certificates");
        string[] files = ["ca.pem", $"{name}.pem", $"{name}-key.pem"];

        Assert.Equal(files, Manifests.List(volume, "secret", "items").Select(item => Manifests.Text(item, "path")));
        Assert.Equal(files, Manifests.List(volume, "secret", "items").Select(item => Manifests.Text(item, "key")));
        Assert.Equal(files, new[] { "DISTTUNE_TLS_CA", "DISTTUNE_TLS_CERT", "DISTTUNE_TLS_KEY" }.Select(variable => Path.GetRelativePath(Manifests.Text(mount, "mountPath")!, Variable(container, variable)!)));
        Assert.Equal("true", Manifests.Text(mount, "readOnly"));
        Assert.All(files, file => Assert.Equal("replace-me", Manifests.Text(manifests.Single("Secret", Manifests.Text(volume, "secret", "secretName")!), "stringData", file)));
    }

    [Fact]
    public async Task The_coordinator_is_one_and_keeps_its_files()
    {
        var manifests = await Manifests.RenderAsync("k8s", "base");
        var coordinator = manifests.Single("StatefulSet", "coordinator");

        Assert.Equal("1", Manifests.Text(coordinator, "spec", "replicas"));
        Assert.Equal("outputs", Manifests.Text(coordinator, "spec", "volumeClaimTemplates", 0, "metadata", "name"));
        Assert.Equal("None", Manifests.Text(manifests.Single("Service", Manifests.Text(coordinator, "spec", "serviceName")!), "spec", "clusterIP"));
        Assert.Equal("1", Manifests.Text(manifests.Single("PodDisruptionBudget", "coordinator"), "spec", "minAvailable"));

        // The ConfigMap's name carries a hash of the run: a changed run reaches the pod.
        var run = Manifests.List(coordinator, "spec", "template", "spec", "volumes").Select(volume => Manifests.Text(volume, "configMap", "name")).OfType<string>().Single();
        Assert.Equal(run, Manifests.Text(manifests.OfKind("ConfigMap").Single(), "metadata", "name"));
        Assert.Matches("^run-.+", run);
    }

    [Fact]
    public async Task Nothing_may_be_reached_unless_it_is_named()
    {
        var manifests = await Manifests.RenderAsync("k8s", "base");
        var deny = manifests.Single("NetworkPolicy", "default-deny");

        Assert.Equal(["Ingress", "Egress"], Manifests.List(deny, "spec", "policyTypes").Select(type => type.ToString()));
        Assert.Null(Manifests.At(deny, "spec", "ingress"));
        Assert.Null(Manifests.At(deny, "spec", "egress"));
    }

    [Fact]
    public async Task The_dashboard_is_deployed_as_it_is_checked_in()
    {
        var map = (await Manifests.RenderAsync("k8s", "monitoring")).Single("ConfigMap", "disttune-dashboard");

        Assert.Equal("1", Manifests.Text(map, "metadata", "labels", "grafana_dashboard"));
        Assert.Equal(File.ReadAllText(Dashboard.Path), Manifests.Text(map, "data", "disttune-run.json"));
    }

    private static YamlNode Container(Manifests manifests, string name) => Manifests.At(manifests.Single("StatefulSet", name), "spec", "template", "spec", "containers", 0)!;

    private static string? Variable(YamlNode container, string name) =>
        Manifests.Text(Manifests.List(container, "env").Single(variable => Manifests.Text(variable, "name") == name), "value");

    // The names that the page's command puts into the coordinator's certificate.
    private static string[] DocumentedHosts()
    {
        var page = File.ReadAllText(Repository.PathOf("docs", "kubernetes.md"));
        var after = page[(page.IndexOf("--hosts ", StringComparison.Ordinal) + 8)..];
        return after[..after.IndexOfAny([' ', '\n'])].Split(',');
    }
}
