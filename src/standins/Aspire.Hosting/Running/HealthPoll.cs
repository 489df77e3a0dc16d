using System.Net;
using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting.Running;

/// <summary>Asks a resource's health path until it answers as it must.</summary>
internal static class HealthPoll
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    /// <summary>Returns when every check has passed once.</summary>
    public static async Task UntilHealthyAsync(IResource resource, CancellationToken cancellationToken)
    {
        using var client = new HttpClient { Timeout = Deadline };
        foreach (var check in resource.Annotations.OfType<HealthAnnotation>())
        {
            var http2 = string.Equals(check.Endpoint.EndpointAnnotation.Transport, "http2", StringComparison.OrdinalIgnoreCase);
            while (!await IsHealthyAsync(client, check, http2, cancellationToken))
            {
                await Task.Delay(Interval, cancellationToken);
            }
        }
    }

    private static async Task<bool> IsHealthyAsync(HttpClient client, HealthAnnotation check, bool http2, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(new Uri(check.Endpoint.Url), check.Path))
        {
            Version = http2 ? HttpVersion.Version20 : HttpVersion.Version11,
            VersionPolicy = http2 ? HttpVersionPolicy.RequestVersionExact : HttpVersionPolicy.RequestVersionOrLower,
        };
        try
        {
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return (int)response.StatusCode == check.StatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }
}
