using DistTune.Core.Training;
using DistTune.Protocol.V1;

namespace DistTune.Worker;

/// <summary>Makes the computers of this worker. One base is loaded once, whatever the number of runs over it.</summary>
internal interface IComputerSource : IAsyncDisposable
{
    /// <summary>Name and version of what computes; workers of a run must have the same.</summary>
    string Library { get; }

    /// <summary>Loads the base of a run and says what it hashes to.</summary>
    /// <exception cref="DistTune.Core.DistTuneException">It cannot be loaded, or is not the run's base.</exception>
    Task<string> LoadBaseAsync(RunFacts run, CancellationToken cancellationToken);

    /// <summary>The computer of a run over the loaded base; the same one each time.</summary>
    /// <exception cref="DistTune.Core.DistTuneException">The run's adapter does not come out as the coordinator has it.</exception>
    IGroupComputer ComputerFor(RunFacts run);
}
