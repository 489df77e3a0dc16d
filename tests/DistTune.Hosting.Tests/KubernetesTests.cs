using System.Globalization;

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
    public async Task Workers_find_the_coordinators_service_and_both_the_token()
    {
        var manifests = await Manifests.RenderAsync("k8s", "base");
        var worker = Manifests.At(manifests.Single("StatefulSet", "worker"), "spec", "template", "spec", "containers", 0)!;
        var address = new Uri(Manifests.List(worker, "env").Where(entry => Manifests.Text(entry, "name") == "services__coordinator__grpc__0")
            .Select(entry => Manifests.Text(entry, "value")!).Single());
        var service = manifests.Single("Service", address.Host);

        Assert.Contains(Manifests.List(service, "spec", "ports"), port => Manifests.Text(port, "port") == address.Port.ToString(CultureInfo.InvariantCulture));
        Assert.Equal(manifests.OfKind("StatefulSet").Count(), manifests.OfKind("StatefulSet").Count(set =>
            Manifests.List(set, "spec", "template", "spec", "volumes").Any(volume => Manifests.Text(volume, "secret", "secretName") == "join-token")));
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
        Assert.Equal("replace-me", Manifests.Text(manifests.Single("Secret", "join-token"), "stringData", "token"));
    }

    [Fact]
    public async Task The_dashboard_is_deployed_as_it_is_checked_in()
    {
        var map = (await Manifests.RenderAsync("k8s", "monitoring")).Single("ConfigMap", "disttune-dashboard");

        Assert.Equal("1", Manifests.Text(map, "metadata", "labels", "grafana_dashboard"));
        Assert.Equal(File.ReadAllText(Dashboard.Path), Manifests.Text(map, "data", "disttune-run.json"));
    }
}
