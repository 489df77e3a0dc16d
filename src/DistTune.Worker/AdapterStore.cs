using System.Globalization;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Worker;

/// <summary>
/// Adapter versions by content: each is fetched once and shared by the lanes. Only the latest of each run is kept. What has arrived of a
/// download stays when the connection is lost, and the next one goes on from there.
/// </summary>
internal sealed class AdapterStore(CoordinatorClient client)
{
    private const int Attempts = 3;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Download> _latest = new(StringComparer.Ordinal);

    /// <summary>The version, fetched if nobody has fetched it yet.</summary>
    /// <param name="sessionId">The worker's session.</param>
    /// <param name="run">The run.</param>
    /// <param name="sha256">The version's address.</param>
    /// <param name="cancellationToken">Ends the session; all lanes share the download.</param>
    public Task<AdapterVersion> GetAsync(string sessionId, RunFacts run, string sha256, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (!_latest.TryGetValue(run.RunId, out var download) || download.Sha256 != sha256)
            {
                _latest[run.RunId] = download = new Download(sha256, new float[run.LayoutLength]);
            }

            if (download.Version is null or { IsFaulted: true } or { IsCanceled: true })
            {
                download.Version = FetchAsync(new GetAdapterRequest { SessionId = sessionId, RunId = run.RunId, AdapterSha256 = sha256 }, download, cancellationToken);
            }

            return download.Version;
        }
    }

    private async Task<AdapterVersion> FetchAsync(GetAdapterRequest request, Download download, CancellationToken cancellationToken)
    {
        for (var attempt = 1; download.Arrived < download.Values.Length; attempt++)
        {
            try
            {
                request.Offset = download.Arrived;
                await FetchFromAsync(request, download, cancellationToken).ConfigureAwait(false);
            }
            catch (RpcException answer) when (attempt < Attempts && CoordinatorClient.IsTransient(answer) && !cancellationToken.IsCancellationRequested)
            {
                // What has arrived stays; the next call goes on from there.
            }
        }

        var version = AdapterHash.Version(download.Values);
        if (version.Sha256 != download.Sha256)
        {
            download.Arrived = 0;
            throw new DistTuneException(FaultKind.InvalidFile, $"The adapter that arrived has SHA-256 {version.Sha256}, {download.Sha256} was asked for.");
        }

        return version;
    }

    private async Task FetchFromAsync(GetAdapterRequest request, Download download, CancellationToken cancellationToken)
    {
        using var call = client.GetAdapter(request, cancellationToken);
        while (await client.NextAsync(call.ResponseStream, cancellationToken).ConfigureAwait(false))
        {
            var chunk = call.ResponseStream.Current;
            var part = VectorChunks.Open(chunk);
            if (chunk.Offset != download.Arrived || part.Length > download.Values.Length - chunk.Offset)
            {
                throw new DistTuneException(FaultKind.Failed, string.Create(
                    CultureInfo.InvariantCulture,
                    $"The adapter's chunk at float {chunk.Offset} of {part.Length} floats does not continue at {download.Arrived} of {download.Values.Length}."));
            }

            part.CopyTo(download.Values.AsSpan((int)chunk.Offset));
            download.Arrived += part.Length;
        }
    }

    private sealed class Download(string sha256, float[] values)
    {
        public string Sha256 => sha256;

        public float[] Values => values;

        /// <summary>Floats that are there, from the first.</summary>
        public int Arrived { get; set; }

        public Task<AdapterVersion>? Version { get; set; }
    }
}
