using System.Diagnostics;
using System.Globalization;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Memory;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Quantization;
using DistTune.Core.Training;
using DistTune.Modeling;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using TorchSharp;
using AdapterKind = DistTune.Core.Training.AdapterKind;

namespace DistTune.Worker;

/// <summary>Computers on TorchSharp, over one base in memory.</summary>
internal sealed class TorchComputerSource(WorkerOptions options) : IComputerSource
{
    private readonly Dictionary<string, TorchGroupComputer> _computers = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private BaseModel? _base;
    private bool _baseInBFloat16;
    private FourBitSettings? _quantization;
    private Protocol.V1.AdapterSettings? _changedBy;

    public string Library => $"libtorch {torch.__version__}";

    public async Task<string> LoadBaseAsync(RunFacts run, CancellationToken cancellationToken)
    {
        var path = options.BaseModel ?? run.BaseModel;
        var sha256 = await ModelHash.ComputeAsync(path, cancellationToken);
        if (sha256 != run.BaseSha256)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"The base at {path} has SHA-256 {sha256}, the run's has {run.BaseSha256}. Point DISTTUNE_BASE_MODEL at the run's base.");
        }

        // Nothing else runs yet; still, loading gigabytes must not block the host's start.
        await Task.Run(() => Load(run, path), cancellationToken);
        return sha256;
    }

    public IGroupComputer ComputerFor(RunFacts run)
    {
        var model = _base ?? throw new UnreachableException("The base is loaded before the worker joins.");
        lock (_gate)
        {
            if (_computers.TryGetValue(run.RunId, out var known))
            {
                return known;
            }

            var settings = TrainingMapping.ToSettings(run.Adapter);
            var layout = AdapterLayout.Create(model.Spec, settings);
            if (!Equals(BaseChange.Of(layout, settings, TrainingMapping.ToQuantization(run.Quantization)) is null ? null : run.Adapter, _changedBy))
            {
                throw new DistTuneException(FaultKind.Configuration, $"Run {run.RunId} needs another base than the one that is loaded: a start by PiSSA or LoftQ changes it. Give it workers of its own.");
            }

            if (layout.Length != run.LayoutLength || run.BaseInBfloat16 != _baseInBFloat16 || TrainingMapping.ToQuantization(run.Quantization) != _quantization)
            {
                throw new DistTuneException(FaultKind.Configuration, string.Create(
                    CultureInfo.InvariantCulture,
                    $"Run {run.RunId} has {run.LayoutLength} floats over a {Precision(run.BaseInBfloat16, TrainingMapping.ToQuantization(run.Quantization))} base, this worker comes to {layout.Length} over {Precision(_baseInBFloat16, _quantization)}."));
            }

            var computer = new TorchGroupComputer(model, layout, settings, TrainingMapping.ToPass(run), options.Threads);
            _computers.Add(run.RunId, computer);
            return computer;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var computer in _computers.Values)
        {
            await computer.DisposeAsync();
        }

        _base?.Dispose();
    }

    private void Load(RunFacts run, string path)
    {
        var spec = ModelFamilies.Describe(path);
        _baseInBFloat16 = run.BaseInBfloat16;
        _quantization = TrainingMapping.ToQuantization(run.Quantization);
        var settings = TrainingMapping.ToSettings(run.Adapter);
        if (settings.Kind == AdapterKind.Full)
        {
            _base = BaseModel.WithoutWeights(spec);
            return;
        }

        var change = BaseChange.Of(AdapterLayout.Create(spec, settings), settings, _quantization);
        _changedBy = change is null ? null : run.Adapter;
        RequireMemory(run, spec);
        _base = BaseModel.Open(path, run.BaseSha256, spec, run.BaseInBfloat16 ? BasePrecision.BFloat16 : BasePrecision.Float32, _quantization, change);
    }

    // What the groups take besides is not known yet; a base that does not even fit alone is told at once, with the cure.
    private void RequireMemory(RunFacts run, DecoderSpec spec)
    {
        if (options.MemoryCheck)
        {
            var layout = AdapterLayout.Create(spec, TrainingMapping.ToSettings(run.Adapter));
            var question = new MemoryQuestion(spec, layout, new BatchSize(1, 1, 1))
            {
                BaseInBFloat16 = run.BaseInBfloat16,
                Quantization = _quantization,
                GradientCheckpointing = run.GradientCheckpointing,
                Lanes = options.Threads,
            };
            MemoryCheck.Require(question, FreeMemory.Bytes(), "DISTTUNE_MEMORY_CHECK=false");
        }
    }

    private static string Precision(bool bfloat16, FourBitSettings? quantization) => (bfloat16 ? "bfloat16" : "float32") + (quantization is null ? "" : $" {quantization.Tag}");
}
