using System.Net;
using System.Net.Sockets;
using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting.Running;

/// <summary>Gives endpoints free loopback ports.</summary>
internal static class Ports
{
    /// <summary>Assigns a port to each endpoint without one. All are reserved together, so that none is given twice.</summary>
    public static void Allocate(IEnumerable<EndpointAnnotation> endpoints)
    {
        var reserved = new List<TcpListener>();
        try
        {
            foreach (var endpoint in endpoints.Where(endpoint => endpoint.TargetPort is null))
            {
                var listener = new TcpListener(IPAddress.Loopback, 0);
                listener.Start();
                reserved.Add(listener);
                endpoint.TargetPort = ((IPEndPoint)listener.LocalEndpoint).Port;
            }
        }
        finally
        {
            reserved.ForEach(listener => listener.Dispose());
        }
    }
}
