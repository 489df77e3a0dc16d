using DistTune.Core.Training;

namespace DistTune.Modeling.Adapters;

/// <summary>Adapter versions on the device, one copy for all lanes; a version is freed when a newer one comes and no lane reads it.</summary>
internal sealed class AdapterCache(Func<AdapterVersion, AdaptedModel> create) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Lease> _leases = new(StringComparer.Ordinal);

    /// <summary>Hands out a version; give it back with <see cref="Return"/>.</summary>
    public AdaptedModel Rent(AdapterVersion version)
    {
        lock (_lock)
        {
            if (!_leases.TryGetValue(version.Sha256, out var lease))
            {
                FreeIdle();
                lease = new Lease(create(version));
                _leases.Add(version.Sha256, lease);
            }

            lease.Readers++;
            return lease.Model;
        }
    }

    /// <summary>Takes a version back.</summary>
    public void Return(AdaptedModel model)
    {
        lock (_lock)
        {
            _leases[model.Sha256].Readers--;
        }
    }

    /// <summary>Frees all versions that nobody reads.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            FreeIdle();
        }
    }

    private void FreeIdle()
    {
        foreach (var (sha256, lease) in _leases.Where(pair => pair.Value.Readers == 0).ToArray())
        {
            lease.Model.Dispose();
            _leases.Remove(sha256);
        }
    }

    private sealed class Lease(AdaptedModel model)
    {
        public AdaptedModel Model { get; } = model;

        public int Readers { get; set; }
    }
}
