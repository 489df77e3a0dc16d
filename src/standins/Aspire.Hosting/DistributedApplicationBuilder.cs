using System.Reflection;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Running;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting;

/// <summary>Describes an application of several resources.</summary>
public interface IDistributedApplicationBuilder
{
    /// <summary>Folder of the app host's project; relative project paths start here.</summary>
    string AppHostDirectory { get; }

    /// <summary>The app host's assembly.</summary>
    Assembly? AppHostAssembly { get; }

    /// <summary>The app host's own configuration.</summary>
    ConfigurationManager Configuration { get; }

    /// <summary>The app host's environment.</summary>
    IHostEnvironment Environment { get; }

    /// <summary>The app host's services.</summary>
    IServiceCollection Services { get; }

    /// <summary>Adds a resource.</summary>
    IResourceBuilder<T> AddResource<T>(T resource)
        where T : IResource;

    /// <summary>The application.</summary>
    DistributedApplication Build();
}

/// <summary>Describes an application of several resources.</summary>
public class DistributedApplicationBuilder : IDistributedApplicationBuilder
{
    private readonly HostApplicationBuilder _host;
    private readonly List<IResource> _resources = [];

    /// <summary>Begins an application.</summary>
    /// <param name="args">Command line of the app host; becomes part of its configuration.</param>
    public DistributedApplicationBuilder(string[] args)
    {
        _host = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { Args = args });
        AppHostAssembly = Assembly.GetEntryAssembly();

        // The package's build step writes the same metadata.
        AppHostDirectory = AppHostAssembly?.GetCustomAttributes<AssemblyMetadataAttribute>()
            .FirstOrDefault(metadata => string.Equals(metadata.Key, "AppHostProjectPath", StringComparison.OrdinalIgnoreCase))?.Value
            ?? _host.Environment.ContentRootPath;

        _host.Logging.ClearProviders();
        _host.Logging.AddSimpleConsole(options => options.SingleLine = true);
        _host.Logging.AddFilter("Microsoft.Hosting.Lifetime", LogLevel.Warning);
    }

    /// <inheritdoc />
    public string AppHostDirectory { get; }

    /// <inheritdoc />
    public Assembly? AppHostAssembly { get; }

    /// <inheritdoc />
    public ConfigurationManager Configuration => _host.Configuration;

    /// <inheritdoc />
    public IHostEnvironment Environment => _host.Environment;

    /// <inheritdoc />
    public IServiceCollection Services => _host.Services;

    /// <inheritdoc />
    public IResourceBuilder<T> AddResource<T>(T resource)
        where T : IResource
    {
        ArgumentNullException.ThrowIfNull(resource);
        if (_resources.Any(other => string.Equals(other.Name, resource.Name, StringComparison.OrdinalIgnoreCase)))
        {
            throw new DistributedApplicationException($"There is a resource '{resource.Name}' already. Give each resource a name of its own.");
        }

        _resources.Add(resource);
        return new ResourceBuilder<T>(this, resource);
    }

    /// <inheritdoc />
    public DistributedApplication Build()
    {
        Services.AddSingleton<IReadOnlyList<IResource>>(_resources);
        Services.AddSingleton(new BuildOutput(AppHostAssembly));
        Services.TryAddSingleton(new Output(Console.Out));
        Services.AddSingleton<Orchestrator>();
        Services.AddHostedService(services => services.GetRequiredService<Orchestrator>());
        Services.AddSingleton(services => new ResourceCommandService(services.GetRequiredService<Orchestrator>));
        Services.Configure<HostOptions>(options => options.ShutdownTimeout = ChildProcess.Grace + ChildProcess.Grace);
        return new DistributedApplication(_host.Build());
    }
}
