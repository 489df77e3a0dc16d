using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace DistTune.Coordinator;

/// <summary>
/// Whether somebody known has called over a connection. It is made with the connection: the calls of one come side by side, and what
/// Kestrel keeps for a connection is not made for that.
/// </summary>
internal sealed class ConnectionAdmission
{
    private volatile bool _admitted;

    /// <summary>Whether somebody known has called.</summary>
    public bool Admitted => _admitted;

    /// <summary>Gives every connection of an endpoint one of its own.</summary>
    public static void Keep(ListenOptions endpoint) => endpoint.Use(next => connection =>
    {
        connection.Features.Set(new ConnectionAdmission());
        return next(connection);
    });

    /// <summary>Somebody known has called.</summary>
    public void Admit() => _admitted = true;
}
