using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;

namespace Aspire.Hosting.Running;

/// <summary>The environment of a resource's process: Aspire's contract first, then what the app host says, which wins.</summary>
internal static class ChildEnvironment
{
    private const string OtlpEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";

    public static async Task<Dictionary<string, string>> CreateAsync(
        IResource resource, IConfiguration configuration, IHostEnvironment host, CancellationToken cancellationToken)
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["DOTNET_ENVIRONMENT"] = host.EnvironmentName,
            ["ASPNETCORE_ENVIRONMENT"] = host.EnvironmentName,
        };
        AddTelemetry(variables, resource, configuration);
        AddOwnEndpoints(variables, resource);
        foreach (var reference in resource.Annotations.OfType<ReferenceAnnotation>())
        {
            AddReference(variables, reference.Source);
        }

        foreach (var annotation in resource.Annotations.OfType<EnvironmentAnnotation>())
        {
            variables[annotation.Name] = await Values.TextAsync(annotation.Value, cancellationToken);
        }

        return variables;
    }

    private static void AddTelemetry(Dictionary<string, string> variables, IResource resource, IConfiguration configuration)
    {
        variables["OTEL_SERVICE_NAME"] = resource.Name;
        variables["OTEL_RESOURCE_ATTRIBUTES"] = $"service.instance.id={Guid.NewGuid():N}";
        if (configuration[OtlpEndpoint] is not { Length: > 0 } endpoint)
        {
            return;
        }

        variables[OtlpEndpoint] = endpoint;
        foreach (var name in (string[])["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS"])
        {
            if (configuration[name] is { Length: > 0 } value)
            {
                variables[name] = value;
            }
        }

        // On one machine somebody is watching: telemetry arrives within a second, unless the user asked otherwise.
        foreach (var name in (string[])["OTEL_BLRP_SCHEDULE_DELAY", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL"])
        {
            variables[name] = configuration[name] ?? "1000";
        }
    }

    private static void AddOwnEndpoints(Dictionary<string, string> variables, IResource resource)
    {
        if (resource is not IResourceWithEndpoints owner)
        {
            return;
        }

        var endpoints = resource.Annotations.OfType<EndpointAnnotation>().ToArray();
        foreach (var endpoint in endpoints.Where(endpoint => endpoint.PortVariable is not null))
        {
            variables[endpoint.PortVariable!] = new EndpointReference(owner, endpoint).Port.ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        var filters = resource.Annotations.OfType<EndpointFilterAnnotation>().ToArray();
        var urls = endpoints
            .Where(endpoint => endpoint.UriScheme == "http" && Array.TrueForAll(filters, filter => filter.Include(endpoint)))
            .Select(endpoint => new EndpointReference(owner, endpoint).Url)
            .ToArray();
        if (urls.Length > 0)
        {
            variables["ASPNETCORE_URLS"] = string.Join(';', urls);
        }
    }

    private static void AddReference(Dictionary<string, string> variables, IResourceWithEndpoints source)
    {
        var endpoints = source.Annotations.OfType<EndpointAnnotation>().ToArray();

        // By scheme, as now; by the endpoint's name, as before.
        foreach (var scheme in endpoints.GroupBy(endpoint => endpoint.UriScheme, StringComparer.Ordinal))
        {
            foreach (var (index, endpoint) in scheme.Index())
            {
                variables[$"services__{source.Name}__{scheme.Key}__{index}"] = new EndpointReference(source, endpoint).Url;
            }
        }

        foreach (var endpoint in endpoints)
        {
            variables.TryAdd($"services__{source.Name}__{endpoint.Name}__0", new EndpointReference(source, endpoint).Url);
        }
    }
}

/// <summary>Turns what the app host said into text, once the application runs.</summary>
internal static class Values
{
    public static async Task<string> TextAsync(object value, CancellationToken cancellationToken) => value switch
    {
        string text => text,
        IValueProvider provider => await provider.GetValueAsync(cancellationToken) ?? "",
        IFormattable number => number.ToString(null, System.Globalization.CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };
}
