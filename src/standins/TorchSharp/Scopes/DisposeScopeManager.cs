using static TorchSharp.torch;

namespace TorchSharp;

/// <summary>The scopes of one thread, newest last.</summary>
public class DisposeScopeManager
{
    [ThreadStatic]
    private static DisposeScopeManager? _ofThread;

    private readonly List<DisposeScope> _scopes = [];

    public static ThreadDisposeScopeStatistics Statistics => OfThread.AllStatistics;

    internal static DisposeScopeManager OfThread => _ofThread ??= new DisposeScopeManager();

    internal ThreadDisposeScopeStatistics AllStatistics { get; } = new();

    internal LifetimeStatistics Tensors => AllStatistics.TensorStatistics;

    internal DisposeScope? Current => _scopes.Count > 0 ? _scopes[^1] : null;

    internal DisposeScope NewScope()
    {
        var scope = new DisposeScope(this, Current);
        _scopes.Add(scope);
        return scope;
    }

    internal void Remove(DisposeScope scope)
    {
        for (var i = _scopes.Count - 1; i >= 0; i--)
        {
            if (_scopes[i] != scope)
                continue;
            _scopes.RemoveAt(i);
            return;
        }
    }

    /// <summary>Gives a new tensor to the thread's newest scope, if there is one.</summary>
    internal DisposeScope? Adopt(Tensor tensor)
    {
        if (Current is not { } scope)
        {
            Tensors.CreatedOutsideScope++;
            return null;
        }
        Tensors.CreatedInScope++;
        scope.Register(tensor);
        return scope;
    }
}

public class LifetimeStatistics
{
    internal long CreatedOutsideScope;
    internal long CreatedInScope;
    internal long DisposedOutsideScope;
    internal long DisposedInScope;
    internal long AttachedToScope;
    internal long DetachedFromScope;

    public long CreatedOutsideScopeCount => CreatedOutsideScope;

    public long CreatedInScopeCount => CreatedInScope;

    public long DisposedOutsideScopeCount => DisposedOutsideScope;

    public long DisposedInScopeCount => DisposedInScope;

    public long AttachedToScopeCount => AttachedToScope;

    public long DetachedFromScopeCount => DetachedFromScope;

    public long ThreadTotalLiveCount => CreatedOutsideScope + CreatedInScope - DisposedOutsideScope - DisposedInScope;

    public void Reset() =>
        CreatedOutsideScope = CreatedInScope = DisposedOutsideScope = DisposedInScope = AttachedToScope = DetachedFromScope = 0;

    public override string ToString() =>
        FormattableString.Invariant(
            $"ThreadTotalLiveCount: {ThreadTotalLiveCount}; CreatedOutsideScopeCount: {CreatedOutsideScope}; DisposedOutsideScopeCount: {DisposedOutsideScope}; CreatedInScopeCount: {CreatedInScope}; DisposedInScopeCount: {DisposedInScope}; AttachedToScopeCount: {AttachedToScope}; DetachedFromScopeCount: {DetachedFromScope}");
}

public class ThreadDisposeScopeStatistics
{
    public LifetimeStatistics TensorStatistics { get; } = new();

    public long CreatedOutsideScopeCount => TensorStatistics.CreatedOutsideScope;

    public long CreatedInScopeCount => TensorStatistics.CreatedInScope;

    public long DisposedOutsideScopeCount => TensorStatistics.DisposedOutsideScope;

    public long DisposedInScopeCount => TensorStatistics.DisposedInScope;

    public long AttachedToScopeCount => TensorStatistics.AttachedToScope;

    public long DetachedFromScopeCount => TensorStatistics.DetachedFromScope;

    public long ThreadTotalLiveCount => TensorStatistics.ThreadTotalLiveCount;

    public void Reset() => TensorStatistics.Reset();

    public override string ToString() => TensorStatistics.ToString();
}
