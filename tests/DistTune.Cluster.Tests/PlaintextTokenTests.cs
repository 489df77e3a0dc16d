using DistTune.Coordinator;
using DistTune.Core;
using DistTune.Core.Access;
using DistTune.Worker;
using Microsoft.Extensions.Configuration;

namespace DistTune.Cluster.Tests;

/// <summary>A token leaves the machine inside of TLS or not at all.</summary>
public sealed class PlaintextTokenTests
{
    [Theory]
    [InlineData("http://10.0.0.5:8081")]
    [InlineData("http://coordinator:8081")]
    [InlineData("http://localhost.example.org:8081")]
    [InlineData("http://0.0.0.0:8081")]
    [InlineData("http://[2001:db8::1]:8081")]
    public void A_worker_sends_no_token_to_another_machine_without_TLS(string address)
    {
        var fault = Assert.Throws<DistTuneException>(() => Options(address));

        Assert.Equal(FaultKind.Configuration, fault.Kind);
        Assert.Contains("could read the join token", fault.Message, StringComparison.Ordinal);
        Assert.Contains("https", fault.Message, StringComparison.Ordinal);
        Assert.Contains(PlaintextTokens.Variable, fault.Message, StringComparison.Ordinal);
        Assert.NotNull(Options(address, "true").Token);
    }

    [Theory]
    [InlineData("http://127.0.0.1:8081")]
    [InlineData("http://127.8.9.1:8081")]
    [InlineData("http://[::1]:8081")]
    [InlineData("http://LocalHost:8081")]
    [InlineData("https://10.0.0.5:8081")]
    public void Within_the_machine_or_with_TLS_it_does(string address) => Assert.NotNull(Options(address).Token);

    [Theory]
    [InlineData("http://0.0.0.0:8081", "Http2")]
    [InlineData("http://*:8081", "Http2")]
    [InlineData("http://+:8081", "Http1AndHttp2")]
    [InlineData("http://[::]:8081", "Http2")]
    [InlineData("http://10.0.0.5:8081", null)]
    public void A_coordinator_takes_no_token_from_other_machines_without_TLS(string url, string? protocols)
    {
        var endpoints = Endpoints(("any", url, protocols));

        var fault = Assert.Throws<DistTuneException>(() => endpoints.Check(certificates: false, secretTokens: true));

        Assert.Equal(FaultKind.Configuration, fault.Kind);
        Assert.Contains(url, fault.Message, StringComparison.Ordinal);
        Assert.Contains(PlaintextTokens.Variable, fault.Message, StringComparison.Ordinal);
        endpoints.Check(certificates: false, secretTokens: false);
    }

    [Fact]
    public void Within_the_machine_with_TLS_or_where_there_is_no_gRPC_it_does() => Endpoints(
        ("local", "http://localhost:8081", "Http2"), ("six", "http://[::1]:8081", "Http2"), ("grpc", "https://0.0.0.0:8081", "Http2"), ("http", "http://0.0.0.0:8080", "Http1"))
        .Check(certificates: true, secretTokens: true);

    [Fact]
    public void What_cannot_be_understood_is_refused_with_its_cure()
    {
        var answer = Assert.Throws<DistTuneException>(() => Options("http://127.0.0.1:1", "perhaps"));
        var address = Assert.Throws<DistTuneException>(() => Endpoints(("grpc", "http:8081", "Http2")).Check(certificates: false, secretTokens: true));

        Assert.Contains("true or false, got 'perhaps'", answer.Message, StringComparison.Ordinal);
        Assert.Contains("Kestrel__Endpoints__grpc__Url", address.Message, StringComparison.Ordinal);
    }

    private static WorkerOptions Options(string address, string? allowed = null) => WorkerOptions.FromEnvironment(
        name => name switch { "DISTTUNE_COORDINATOR" => address, "DISTTUNE_TOKEN" => "t", PlaintextTokens.Variable => allowed, _ => null }, 1);

    private static CoordinatorEndpoints Endpoints(params (string Name, string Url, string? Protocols)[] endpoints) => CoordinatorEndpoints.Of(
        new ConfigurationBuilder().AddInMemoryCollection(endpoints.SelectMany(endpoint => new[]
        {
            KeyValuePair.Create($"Kestrel:Endpoints:{endpoint.Name}:Url", (string?)endpoint.Url),
            KeyValuePair.Create($"Kestrel:Endpoints:{endpoint.Name}:Protocols", endpoint.Protocols),
        })).Build());
}
