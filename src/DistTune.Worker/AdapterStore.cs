using System.Globalization;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Worker;

/// <summary>Adapter versions by content: each is fetched once and shared by the lanes. Only the latest of each run is kept.</summary>
internal sealed class AdapterStore(CoordinatorClient client)
{
    private const int Attempts = 3;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, (string Sha256, Task<AdapterVersion> Version)> _latest = new(StringComparer.Ordinal);

    /// <summary>The version, fetched if nobody has fetched it yet.</summary>
    /// <param name="sessionId">The worker's session.</param>
    /// <param name="run">The run.</param>
    /// <param name="sha256">The version's address.</param>
    /// <param name="cancellationToken">Ends the session; all lanes share the download.</param>
    public Task<AdapterVersion> GetAsync(string sessionId, RunFacts run, string sha256, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_latest.TryGetValue(run.RunId, out var known) && known.Sha256 == sha256 && !known.Version.IsFaulted && !known.Version.IsCanceled)
            {
                return known.Version;
            }

            var request = new GetAdapterRequest { SessionId = sessionId, RunId = run.RunId, AdapterSha256 = sha256 };
            var version = FetchAsync(request, run.LayoutLength, cancellationToken);
            _latest[run.RunId] = (sha256, version);
            return version;
        }
    }

    private async Task<AdapterVersion> FetchAsync(GetAdapterRequest request, long length, CancellationToken cancellationToken)
    {
        var values = new float[length];
        for (var attempt = 1; request.Offset < length; attempt++)
        {
            try
            {
                await FetchFromAsync(request, values, cancellationToken).ConfigureAwait(false);
            }
            catch (RpcException answer) when (attempt < Attempts && CoordinatorClient.IsTransient(answer) && !cancellationToken.IsCancellationRequested)
            {
                // What has arrived stays; the next call goes on from there.
            }
        }

        var version = AdapterHash.Version(values);
        return version.Sha256 == request.AdapterSha256
            ? version
            : throw new DistTuneException(FaultKind.InvalidFile, $"The adapter that arrived has SHA-256 {version.Sha256}, {request.AdapterSha256} was asked for.");
    }

    private async Task FetchFromAsync(GetAdapterRequest request, float[] values, CancellationToken cancellationToken)
    {
        using var call = client.GetAdapter(request, cancellationToken);
        while (await call.ResponseStream.MoveNext(cancellationToken).ConfigureAwait(false))
        {
            var chunk = call.ResponseStream.Current;
            var part = VectorChunks.Open(chunk);
            if (chunk.Offset != request.Offset || part.Length > values.Length - chunk.Offset)
            {
                throw new DistTuneException(FaultKind.Failed, string.Create(
                    CultureInfo.InvariantCulture,
                    $"The adapter's chunk at float {chunk.Offset} of {part.Length} floats does not continue at {request.Offset} of {values.Length}."));
            }

            part.CopyTo(values.AsSpan((int)chunk.Offset));
            request.Offset += part.Length;
        }
    }
}
