using System.Collections.Immutable;

namespace DistTune.Core.Access;

/// <summary>What a caller of the coordinator may do.</summary>
public enum AccessRole
{
    /// <summary>Computes groups: the training service, and nothing else.</summary>
    Worker,

    /// <summary>Looks: the administration's questions, none of its commands.</summary>
    Reader,

    /// <summary>Looks and commands: the whole administration, but no training.</summary>
    Admin,
}

/// <summary>Roles by the names that certificates, tickets and the command line give them.</summary>
public static class AccessRoles
{
    /// <summary>The names.</summary>
    public static ImmutableArray<string> Names => ["worker", "reader", "admin"];

    /// <summary>The name of a role.</summary>
    public static string NameOf(AccessRole role) => role switch
    {
        AccessRole.Worker => "worker",
        AccessRole.Reader => "reader",
        _ => "admin",
    };

    /// <summary>The role of a name, or null.</summary>
    public static AccessRole? Find(string? name) => name switch
    {
        "worker" => AccessRole.Worker,
        "reader" => AccessRole.Reader,
        "admin" => AccessRole.Admin,
        _ => null,
    };
}
