using DistTune.Core.Numerics;
using DistTune.Core.Planning;
using DistTune.Core.Training;
using DistTune.Modeling;
using DistTune.Modeling.Adapters;

namespace DistTune.Cli.Running;

/// <summary>A base loaded once in this process, and the computers that share it: one a worker.</summary>
internal sealed class LocalComputers : IAsyncDisposable
{
    private readonly BaseModel _model;
    private readonly List<IGroupComputer> _others = [];

    private LocalComputers(BaseModel model, IReadOnlyList<IGroupComputer> computers)
    {
        _model = model;
        Computers = computers;
    }

    /// <summary>One a worker.</summary>
    public IReadOnlyList<IGroupComputer> Computers { get; }

    /// <summary>Bytes of the frozen weights.</summary>
    public long BaseBytes => _model.SizeBytes;

    /// <summary>Loads the base of a run.</summary>
    public static LocalComputers Load(PreparedRun run, Cores cores)
    {
        var plan = run.Plan;
        BaseModel model;
        if (plan.Adapter.Kind is AdapterKind.Full)
        {
            model = BaseModel.WithoutWeights(run.Spec);
        }
        else
        {
            model = BaseModel.Open(plan.BaseModel, plan.Hashes.Base, run.Spec, plan.BaseInBFloat16 ? BasePrecision.BFloat16 : BasePrecision.Float32, plan.Quantization, BaseChange.Of(plan.Layout, plan.Adapter, plan.Quantization));
        }

        return Share(model, plan, cores);
    }

    /// <summary>Puts computers on a base that is loaded already, and takes it over.</summary>
    public static LocalComputers Share(BaseModel model, RunPlan plan, Cores cores) => new(
        model,
        [.. Enumerable.Range(0, cores.Workers).Select(_ => new TorchGroupComputer(model, plan.Layout, plan.Adapter, plan.Pass, cores.ThreadsPerWorker))]);

    /// <summary>One more computer over the same base, which computes with several adapters, all active at once.</summary>
    /// <param name="adapters">At least one; what they add is summed, each by its weight.</param>
    /// <param name="threads">How many groups it computes at the same time.</param>
    public (IGroupComputer Computer, AdapterVersion Version) Over(IReadOnlyList<LoadedAdapter> adapters, int threads)
    {
        var (computer, version) = TorchGroupComputer.Over(_model, adapters, threads);
        _others.Add(computer);
        return (computer, version);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var computer in Computers.Concat(_others))
        {
            await computer.DisposeAsync().ConfigureAwait(false);
        }

        _model.Dispose();
    }
}
