using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;

namespace DistTune.ServiceDefaults;

/// <summary>Readiness and liveness. A service adds its own checks with <c>Services.AddHealthChecks().AddCheck(…)</c>; those count for readiness.</summary>
internal static class Liveness
{
    private const string LiveTag = "live";

    public static void AddLiveness(this IHostApplicationBuilder builder) =>
        builder.Services.AddHealthChecks().AddCheck("self", () => HealthCheckResult.Healthy(), [LiveTag]);

    public static void MapLiveness(this WebApplication app)
    {
        app.MapHealthChecks("/health");
        app.MapHealthChecks("/alive", new HealthCheckOptions { Predicate = check => check.Tags.Contains(LiveTag) });
    }
}
