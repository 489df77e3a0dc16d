using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Access;

namespace DistTune.Coordinator;

/// <summary>An endpoint of Kestrel's own configuration.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Where it listens.</param>
/// <param name="Protocols">What it speaks; Kestrel's default where nobody said.</param>
internal sealed record ConfiguredEndpoint(string Name, string Url, string Protocols);

/// <summary>
/// Where Kestrel's own configuration says that the service listens. Without it gRPC is on the loopback, and there is nothing to check.
/// </summary>
/// <param name="Configured">The endpoints; none if there is no such configuration.</param>
internal sealed record CoordinatorEndpoints(ImmutableArray<ConfiguredEndpoint> Configured)
{
    private const string Section = "Kestrel:Endpoints";
    private const string GrpcName = "grpc";

    // HTTP/1.1 carries no gRPC: such an endpoint is for probes and metrics, which show no token.
    private const string WithoutGrpc = "Http1";

    /// <summary>Whether there is such a configuration.</summary>
    public static bool AreConfigured(IConfiguration configuration) => configuration.GetSection(Section).GetChildren().Any();

    /// <summary>Reads the configuration.</summary>
    public static CoordinatorEndpoints Of(IConfiguration configuration)
    {
        var protocols = configuration["Kestrel:EndpointDefaults:Protocols"];
        return new CoordinatorEndpoints(
        [
            .. configuration.GetSection(Section).GetChildren()
                .Select(endpoint => new ConfiguredEndpoint(endpoint.Key, endpoint["Url"] ?? "", endpoint["Protocols"] ?? protocols ?? "")),
        ]);
    }

    /// <summary>Refuses endpoints over which secrets would travel in the clear.</summary>
    /// <param name="certificates">Whether certificates are configured.</param>
    /// <param name="secretTokens">Whether tokens are taken that nobody may overhear.</param>
    /// <exception cref="DistTuneException">There is one.</exception>
    public void Check(bool certificates, bool secretTokens)
    {
        foreach (var endpoint in Configured.Where(endpoint => endpoint.Url.StartsWith("http:", StringComparison.OrdinalIgnoreCase)))
        {
            var setting = $"Kestrel__Endpoints__{endpoint.Name}__Url";
            if (certificates && string.Equals(endpoint.Name, GrpcName, StringComparison.OrdinalIgnoreCase))
            {
                throw new DistTuneException(FaultKind.Configuration, $"Certificates are configured, and the gRPC endpoint is {endpoint.Url}, without TLS. Set {setting} to an https address.");
            }

            if (secretTokens && !IsLocal(endpoint, setting) && !string.Equals(endpoint.Protocols, WithoutGrpc, StringComparison.OrdinalIgnoreCase))
            {
                throw new DistTuneException(
                    FaultKind.Configuration,
                    $"{setting} is {endpoint.Url}, open to other machines without TLS: whoever is on the way could read the tokens. {PlaintextTokens.Cure} An endpoint for health and metrics alone speaks {WithoutGrpc} (Kestrel__Endpoints__{endpoint.Name}__Protocols).");
            }
        }
    }

    private static bool IsLocal(ConfiguredEndpoint endpoint, string setting)
    {
        try
        {
            return PlaintextTokens.IsThisMachine(BindingAddress.Parse(endpoint.Url).Host.Trim('[', ']'));
        }
        catch (FormatException fault)
        {
            throw new DistTuneException(FaultKind.Configuration, $"{setting} must be an address, got '{endpoint.Url}'. Example: https://0.0.0.0:8081", fault);
        }
    }
}
