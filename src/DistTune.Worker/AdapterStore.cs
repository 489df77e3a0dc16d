using System.Globalization;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Worker;

/// <summary>
/// Adapter versions by content: each is fetched once and shared by the lanes. Only the latest of each run is kept, and it takes the place of
/// the one before when nobody reads that any more, so that a worker holds one and not as many as the collector has not looked at yet. What has
/// arrived of a download stays when the connection is lost, and the next one goes on from there.
/// </summary>
internal sealed class AdapterStore(CoordinatorClient client)
{
    private const int Attempts = 3;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Download> _latest = new(StringComparer.Ordinal);

    /// <summary>The version, fetched if nobody has fetched it yet; its values stay until it is given back.</summary>
    /// <param name="sessionId">The worker's session.</param>
    /// <param name="run">The run.</param>
    /// <param name="sha256">The version's address.</param>
    /// <param name="cancellationToken">Ends the session; all lanes share the download.</param>
    public async Task<RentedAdapter> RentAsync(string sessionId, RunFacts run, string sha256, CancellationToken cancellationToken)
    {
        Download download;
        Task<AdapterVersion> version;
        lock (_gate)
        {
            var latest = _latest.GetValueOrDefault(run.RunId);
            download = latest?.Sha256 == sha256 ? latest : new Download(sha256, latest is { Readers: 0 } ? latest.Values : new float[run.LayoutLength]);
            _latest[run.RunId] = download;
            download.Readers++;
            if (download.Version is null or { IsFaulted: true } or { IsCanceled: true })
            {
                download.Version = FetchAsync(new GetAdapterRequest { SessionId = sessionId, RunId = run.RunId, AdapterSha256 = sha256 }, download, cancellationToken);
            }

            version = download.Version;
        }

        try
        {
            return new RentedAdapter(await version.ConfigureAwait(false), () => Return(download));
        }
        catch
        {
            Return(download);
            throw;
        }
    }

    /// <summary>Has the first version of a run take the place of these values, which nobody reads any more.</summary>
    public void Reuse(string runId, float[] values)
    {
        lock (_gate)
        {
            _latest.TryAdd(runId, new Download(string.Empty, values));
        }
    }

    private void Return(Download download)
    {
        lock (_gate)
        {
            download.Readers--;
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

        /// <summary>Who waits for it or reads it.</summary>
        public int Readers { get; set; }

        /// <summary>Floats that are there, from the first.</summary>
        public int Arrived { get; set; }

        public Task<AdapterVersion>? Version { get; set; }
    }
}
