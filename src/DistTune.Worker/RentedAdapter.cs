using DistTune.Core.Training;

namespace DistTune.Worker;

/// <summary>A version whose values are not overwritten before it is given back, once.</summary>
/// <param name="version">The version.</param>
/// <param name="giveBack">Gives it back.</param>
internal sealed class RentedAdapter(AdapterVersion version, Action giveBack) : IDisposable
{
    private Action? _giveBack = giveBack;

    /// <summary>The version.</summary>
    public AdapterVersion Version => version;

    /// <summary>Gives it back; nothing may read its values from then on.</summary>
    public void Dispose() => Interlocked.Exchange(ref _giveBack, null)?.Invoke();
}
