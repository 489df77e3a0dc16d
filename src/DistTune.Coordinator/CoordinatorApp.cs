using System.Globalization;
using System.Net;
using DistTune.Core;
using DistTune.Core.Access;
using DistTune.Engine;
using DistTune.ServiceDefaults;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace DistTune.Coordinator;

/// <summary>The coordinator as a web application: gRPC for workers and people, HTTP for health and metrics.</summary>
internal static class CoordinatorApp
{
    private const int DefaultHttpPort = 8080;
    private const int DefaultGrpcPort = 8081;
    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(5);

    public static WebApplication Build(WebApplicationBuilder builder, CoordinatorSetup setup)
    {
        builder.AddServiceDefaults();
        builder.WebHost.ConfigureKestrel(kestrel => Listen(kestrel, builder.Configuration, setup.Tls));
        builder.Services.AddSingleton(setup);
        builder.Services.AddSingleton<CoordinatorExit>();
        builder.Services.AddSingleton<SessionLinks>();
        builder.Services.AddSingleton<OpenPushes>();
        builder.Services.AddSingleton<ClientPatience>();
        builder.Services.AddSingleton<CallLimits>();
        builder.Services.AddSingleton<CoordinatorMetrics>();
        builder.Services.AddSingleton<MemoryTally>();
        builder.Services.AddSingleton<CallerAccess>();
        builder.Services.AddSingleton<FailedJoins>();
        builder.Services.AddSingleton<AccessInterceptor>();
        builder.Services.AddSingleton<FaultInterceptor>();
        builder.Services.AddSingleton(services => new RunRegistry(setup.Engine, services.GetRequiredService<TimeProvider>()));
        builder.Services.AddHostedService<RunService>();
        builder.Services.AddGrpc(options =>
        {
            options.MaxReceiveMessageSize = MessageBounds.MostBytes;
            options.Interceptors.Add<AccessInterceptor>();
            options.Interceptors.Add<FaultInterceptor>();
        });

        var app = builder.Build();
        app.Use(app.Services.GetRequiredService<CallLimits>().AroundAsync);
        app.MapDefaultEndpoints();
        app.MapGrpcService<TrainingService>();
        app.MapGrpcService<AdminService>();
        return app;
    }

    // Kestrel's own configuration wins. Without it: HTTP/1.1 where ASPNETCORE_URLS says, and gRPC on a port of its own, for HTTP/2
    // without TLS cannot share one.
    private static void Listen(KestrelServerOptions kestrel, IConfiguration configuration, CertificateFiles? tls)
    {
        CallLimits.Apply(kestrel.Limits);
        kestrel.ConfigureEndpointDefaults(ConnectionAdmission.Keep);
        if (tls is not null)
        {
            kestrel.ConfigureHttpsDefaults(https => Serve(https, tls));
        }

        // A worker whose machine or network is gone closes nothing; pings find it out, after twice this time at most.
        kestrel.Limits.Http2.KeepAlivePingDelay = KeepAlive;
        kestrel.Limits.Http2.KeepAlivePingTimeout = KeepAlive;

        // A lane that computes sends nothing for minutes; the lease, not the transport, decides when that is too long.
        kestrel.Limits.MinRequestBodyDataRate = null;
        if (CoordinatorEndpoints.AreConfigured(configuration))
        {
            return;
        }

        if (configuration["urls"] is { Length: > 0 } urls)
        {
            foreach (var url in urls.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                ListenTo(kestrel, BindingAddress.Parse(url), HttpProtocols.Http1);
            }
        }
        else
        {
            kestrel.Listen(IPAddress.Loopback, Port(configuration, "DISTTUNE_HTTP_PORT", DefaultHttpPort), endpoint => endpoint.Protocols = HttpProtocols.Http1);
        }

        kestrel.Listen(IPAddress.Loopback, Port(configuration, "DISTTUNE_GRPC_PORT", DefaultGrpcPort), endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http2;
            if (tls is not null)
            {
                endpoint.UseHttps(https => Serve(https, tls));
            }
        });
    }

    // Asked at every handshake, so that renewed files are taken without a restart. Whose certificate a caller has is checked call by
    // call, where the answer can say what is wrong; TLS itself has shown that the caller holds its key.
    private static void Serve(HttpsConnectionAdapterOptions https, CertificateFiles tls)
    {
        https.ServerCertificateSelector = (_, _) => tls.Certificate
            ?? throw new DistTuneException(FaultKind.Configuration, $"The gRPC endpoint needs a certificate. Set {CertificateFiles.CertificateVariable} and {CertificateFiles.KeyVariable}.");
        if (tls.HasAuthority)
        {
            https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
            https.AllowAnyClientCertificate();
        }
    }

    private static void ListenTo(KestrelServerOptions kestrel, BindingAddress address, HttpProtocols protocols)
    {
        if (IPAddress.TryParse(address.Host, out var ip))
        {
            kestrel.Listen(ip, address.Port, endpoint => endpoint.Protocols = protocols);
        }
        else if (string.Equals(address.Host, "localhost", StringComparison.OrdinalIgnoreCase) && address.Port != 0)
        {
            kestrel.ListenLocalhost(address.Port, endpoint => endpoint.Protocols = protocols);
        }
        else if (string.Equals(address.Host, "localhost", StringComparison.OrdinalIgnoreCase))
        {
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = protocols);
        }
        else
        {
            kestrel.ListenAnyIP(address.Port, endpoint => endpoint.Protocols = protocols);
        }
    }

    private static int Port(IConfiguration configuration, string name, int fallback)
    {
        if (configuration[name] is not { Length: > 0 } text)
        {
            return fallback;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port <= IPEndPoint.MaxPort
            ? port
            : throw new DistTuneException(FaultKind.Configuration, $"{name} must be a port, 0 to {IPEndPoint.MaxPort}, got '{text}'.");
    }
}
