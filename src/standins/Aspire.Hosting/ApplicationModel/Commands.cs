using Aspire.Hosting.Running;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>Names of the commands that every resource knows.</summary>
public static class KnownResourceCommands
{
    /// <summary>Starts a resource that has ended.</summary>
    public static readonly string StartCommand = "resource-start";
}

/// <summary>How a command went.</summary>
public sealed class ExecuteCommandResult
{
    /// <summary>Whether it was carried out.</summary>
    public required bool Success { get; init; }

    /// <summary>Why not.</summary>
    public string? ErrorMessage { get; init; }
}

/// <summary>Carries out the commands of resources.</summary>
public class ResourceCommandService
{
    private readonly Func<Orchestrator> _orchestrator;

    internal ResourceCommandService(Func<Orchestrator> orchestrator) => _orchestrator = orchestrator;

    /// <summary>Carries out a command; only <see cref="KnownResourceCommands.StartCommand"/> here.</summary>
    public Task<ExecuteCommandResult> ExecuteCommandAsync(IResource resource, string commandName, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(resource);
        if (commandName != KnownResourceCommands.StartCommand)
        {
            return Task.FromResult(new ExecuteCommandResult { Success = false, ErrorMessage = $"Command '{commandName}' is not available for resource '{resource.Name}'." });
        }

        return Task.FromResult(_orchestrator().TryStart(resource)
            ? new ExecuteCommandResult { Success = true }
            : new ExecuteCommandResult { Success = false, ErrorMessage = $"Resource '{resource.Name}' is running, or the application stops." });
    }
}
