using DistTune.ServiceDefaults;

namespace DistTune.Worker;

/// <summary>The worker as a web application: its work in the background, HTTP for health and metrics.</summary>
internal static class WorkerApp
{
    public static WebApplication Build(WebApplicationBuilder builder, WorkerOptions options, Func<IServiceProvider, IComputerSource> computers)
    {
        builder.AddServiceDefaults();
        if (!builder.Configuration.GetSection("Kestrel:Endpoints").GetChildren().Any() && builder.Configuration["urls"] is null)
        {
            // Several workers share a machine: without an address of its own, each takes a free port.
            builder.WebHost.UseUrls("http://127.0.0.1:0");
        }

        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton<WorkerExit>();
        builder.Services.AddSingleton<CoordinatorClient>();
        builder.Services.AddSingleton(computers);
        builder.Services.AddHostedService<WorkerService>();
        var app = builder.Build();
        app.MapDefaultEndpoints();
        return app;
    }
}
