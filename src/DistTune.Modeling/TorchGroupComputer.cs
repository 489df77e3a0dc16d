using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using DistTune.Core.Training;
using DistTune.Modeling.Adapters;
using DistTune.Modeling.Generation;
using DistTune.Modeling.Gradients;
using DistTune.Modeling.Kernels;
using DistTune.Modeling.Objectives;

namespace DistTune.Modeling;

/// <summary>
/// Computes groups on one device in lanes. A lane is a thread of its own that computes one group at a time with single-threaded
/// kernels, so a result cannot depend on how many lanes there are; the frozen weights and the adapter are shared by all.
/// </summary>
public sealed class TorchGroupComputer : IGroupComputer
{
    private readonly BaseModel _model;
    private readonly ParameterLayout _layout;
    private readonly AdapterSettings _adapter;
    private readonly PassSettings _pass;
    private readonly AdapterCache _adapters;
    private readonly BlockingCollection<WorkItem> _queue;
    private readonly SemaphoreSlim _free;
    private readonly ImmutableArray<Thread> _lanes;
    private bool _disposed;

    /// <summary>Starts the lanes.</summary>
    /// <param name="model">The base; must outlive this.</param>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="adapter">What is trained.</param>
    /// <param name="gradientCheckpointing">Keep only the layers' inputs and compute each layer again for its derivative.</param>
    /// <param name="lanes">How many groups are computed at the same time, at least 1.</param>
    public TorchGroupComputer(BaseModel model, ParameterLayout layout, AdapterSettings adapter, bool gradientCheckpointing, int lanes)
        : this(model, layout, adapter, new PassSettings(gradientCheckpointing), lanes)
    {
    }

    /// <summary>Starts the lanes.</summary>
    /// <param name="model">The base; must outlive this.</param>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="adapter">What is trained.</param>
    /// <param name="pass">How micro-batches are computed.</param>
    /// <param name="lanes">How many groups are computed at the same time, at least 1.</param>
    public TorchGroupComputer(BaseModel model, ParameterLayout layout, AdapterSettings adapter, PassSettings pass, int lanes)
        : this(model, layout, adapter, pass, lanes, version => AdaptedModel.Create(model, layout, adapter, version))
    {
    }

    private TorchGroupComputer(BaseModel model, ParameterLayout layout, AdapterSettings adapter, PassSettings pass, int lanes, Func<AdapterVersion, AdaptedModel> create)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(adapter);
        ArgumentNullException.ThrowIfNull(pass);
        ArgumentOutOfRangeException.ThrowIfLessThan(lanes, 1);
        _model = model;
        _layout = layout;
        _adapter = adapter;
        _pass = pass;
        _adapters = new AdapterCache(create);
        _queue = new BlockingCollection<WorkItem>(lanes);
        _free = new SemaphoreSlim(lanes, lanes);
        _lanes = [.. Enumerable.Range(0, lanes).Select(StartLane)];
    }

    /// <summary>Starts lanes that compute with several adapters, all active at once. Nothing can be trained so.</summary>
    /// <param name="model">The base; must outlive this.</param>
    /// <param name="adapters">At least one; what they add is summed, each by its weight.</param>
    /// <param name="lanes">How many groups are computed at the same time, at least 1.</param>
    /// <returns>The computer, and the version that its groups are computed with.</returns>
    public static (TorchGroupComputer Computer, AdapterVersion Version) Over(BaseModel model, IReadOnlyList<LoadedAdapter> adapters, int lanes = 1)
    {
        ArgumentNullException.ThrowIfNull(adapters);
        ArgumentOutOfRangeException.ThrowIfZero(adapters.Count);
        var together = new AdapterVersion(string.Join('+', adapters.Select(adapter => adapter.Version.Sha256)), adapters[0].Version.Values);
        var computer = new TorchGroupComputer(model, adapters[0].Layout, adapters[0].Settings, new PassSettings(false), lanes, _ => AdaptedModel.Create(model, adapters));
        return (computer, together);
    }

    /// <inheritdoc/>
    public int Slots => _lanes.Length;

    /// <inheritdoc/>
    public async Task<GroupOutcome> ComputeAsync(GroupSpec group, AdapterVersion adapter, IGradientSink sink, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        await _free.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var item = new WorkItem(group, adapter, sink, cancellationToken);
            // Never blocks: there is room for as many as there are free lanes.
            _queue.Add(item, cancellationToken);
            return await item.Completion.Task.ConfigureAwait(false);
        }
        finally
        {
            _free.Release();
        }
    }

    /// <summary>Lets the lanes finish what they compute and frees the adapters.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _queue.CompleteAdding();
        await Task.Run(() =>
        {
            foreach (var lane in _lanes)
            {
                lane.Join();
            }
        }).ConfigureAwait(false);
        _adapters.Dispose();
        _queue.Dispose();
        _free.Dispose();
    }

    private Thread StartLane(int index)
    {
        var lane = new Thread(RunLane)
        {
            IsBackground = true,
            Name = string.Create(CultureInfo.InvariantCulture, $"lane-{index}"),
        };
        lane.Start();
        return lane;
    }

    private void RunLane()
    {
        torch.set_num_threads(1);
        while (_queue.TryTake(out var item, Timeout.Infinite))
        {
            Finish(item);

            // Its vectors must not stay for as long as the lane waits for the next.
            item = null;
        }
    }

    private void Finish(WorkItem item)
    {
        try
        {
            item.CancellationToken.ThrowIfCancellationRequested();
            item.Completion.SetResult(Compute(item));
        }
        catch (OperationCanceledException) when (item.CancellationToken.IsCancellationRequested)
        {
            item.Completion.SetCanceled(item.CancellationToken);
        }
        catch (Exception fault)
        {
            // The lane lives on; whoever asked for this group learns why it failed.
            item.Completion.SetException(fault);
        }
    }

    private GroupOutcome Compute(WorkItem item)
    {
        var adapted = _adapters.Rent(item.Adapter);
        try
        {
            return item.Group.Kind == GroupKind.Generate ? Generate(item, adapted) : ComputeLoss(item, adapted);
        }
        finally
        {
            _adapters.Return(adapted);
        }
    }

    private GroupOutcome ComputeLoss(WorkItem item, AdaptedModel adapted)
    {
        var group = item.Group;
        var pass = new MicroBatchPass(_model, adapted.Modules, _pass, item.Sink.Progress, item.CancellationToken);
        using var collector = new GradientCollector(_layout, item.Sink);
        double sum = 0;
        for (var index = 0; index < group.MicroBatches.Length; index++)
        {
            sum += group.Kind == GroupKind.Train
                ? pass.Train(group.MicroBatches[index], collector, Dropout(group, index), flush: index == group.MicroBatches.Length - 1)
                : pass.Evaluate(group.MicroBatches[index]);
        }

        return new GroupOutcome(sum, group.TrainedTokens, group.TotalTokens, [], new GroupTimings(pass.ForwardSeconds, pass.BackwardSeconds, 0));
    }

    private LoraDropout? Dropout(GroupSpec group, int index) =>
        _adapter.Dropout == 0 ? null : LoraDropout.OfSegments(group.MicroBatches[index].Segments, _adapter.Dropout, _pass.Seed, group.Step);

    private GroupOutcome Generate(WorkItem item, AdaptedModel adapted)
    {
        var group = item.Group;
        var settings = group.Generation ?? throw new ArgumentException("A group that generates needs generation settings.", nameof(item));
        var generator = new Generator(_model, adapted.Modules, settings, item.Sink, item.CancellationToken);
        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        var continuations = group.MicroBatches.SelectMany(batch => generator.Continue(batch.Segments)).ToImmutableArray();
        var seconds = System.Diagnostics.Stopwatch.GetElapsedTime(started).TotalSeconds;
        var tokens = group.TotalTokens + continuations.Sum(continuation => (long)continuation.Length);
        return new GroupOutcome(0, 0, tokens, continuations, new GroupTimings(seconds, 0, 0));
    }

    private sealed record WorkItem(GroupSpec Group, AdapterVersion Adapter, IGradientSink Sink, CancellationToken CancellationToken)
    {
        public TaskCompletionSource<GroupOutcome> Completion { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
