using static TorchSharp.torch;

namespace TorchSharp;

/// <summary>Owns what is created on its thread while it is the newest scope there, and disposes it at its end.</summary>
public sealed class DisposeScope : IDisposable
{
    private readonly DisposeScopeManager _manager;
    private readonly HashSet<IDisposable> _disposables = new(ReferenceEqualityComparer.Instance);

    internal DisposeScope(DisposeScopeManager manager, DisposeScope? outer)
    {
        _manager = manager;
        Outer = outer;
    }

    public int DisposablesCount => _disposables.Count;

    public IReadOnlyList<IDisposable> DisposablesView => [.. _disposables];

    internal DisposeScope? Outer { get; }

    internal void Register(IDisposable disposable) => _disposables.Add(disposable);

    public bool Contains(IDisposable disposable) => _disposables.Contains(disposable);

    public void MarkAsDisposed(IDisposable disposable)
    {
        if (_disposables.Remove(disposable))
            _manager.Tensors.DisposedInScope++;
        if (disposable is Tensor tensor)
            tensor.Scope = null;
    }

    public void Attach(IDisposable disposable)
    {
        if (disposable is not Tensor tensor)
        {
            _disposables.Add(disposable);
            return;
        }
        if (tensor.Scope == this)
            return;
        if (tensor.Scope is { } owner)
            owner._disposables.Remove(tensor);
        else
            _manager.Tensors.AttachedToScope++;
        tensor.Scope = this;
        _disposables.Add(tensor);
    }

    public void Attach(params IDisposable[] disposables)
    {
        foreach (var disposable in disposables)
            Attach(disposable);
    }

    public T Detach<T>(T disposable) where T : IDisposable
    {
        Detach([disposable]);
        return disposable;
    }

    public void Detach(params IDisposable[] disposables)
    {
        foreach (var disposable in disposables)
        {
            if (!_disposables.Remove(disposable))
                continue;
            _manager.Tensors.DetachedFromScope++;
            if (disposable is Tensor tensor)
                tensor.Scope = null;
        }
    }

    public T MoveToOuter<T>(T disposable) where T : IDisposable
    {
        Move(Outer, disposable);
        return disposable;
    }

    public (T1 first, T2 second) MoveToOuter<T1, T2>(T1 first, T2 second) where T1 : IDisposable where T2 : IDisposable
    {
        Move(Outer, first);
        Move(Outer, second);
        return (first, second);
    }

    public void MoveToOuter(params IDisposable[] disposables)
    {
        foreach (var disposable in disposables)
            Move(Outer, disposable);
    }

    public T MoveToOther<T>(DisposeScope scope, T disposable) where T : IDisposable
    {
        Move(scope, disposable);
        return disposable;
    }

    public void DisposeEverything() => DisposeEverythingBut([]);

    public T DisposeEverythingBut<T>(T keep) where T : IDisposable
    {
        DisposeEverythingBut([keep]);
        return keep;
    }

    public void DisposeEverythingBut(params IDisposable[] keep)
    {
        IDisposable[] all = [.. _disposables];
        foreach (var disposable in all)
        {
            if (Array.IndexOf(keep, disposable) >= 0)
                continue;
            // A tensor takes itself out of its scope.
            if (disposable is not Tensor)
                _disposables.Remove(disposable);
            disposable.Dispose();
        }
    }

    public void Dispose()
    {
        DisposeEverything();
        _manager.Remove(this);
    }

    private void Move(DisposeScope? to, IDisposable disposable)
    {
        if (to is null)
        {
            Detach([disposable]);
            return;
        }
        if (!_disposables.Remove(disposable))
            return;
        to._disposables.Add(disposable);
        if (disposable is Tensor tensor)
            tensor.Scope = to;
    }
}
