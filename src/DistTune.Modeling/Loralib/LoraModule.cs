using DistTune.Core;

namespace DistTune.Modeling.Loralib;

/// <summary>
/// A module with named parameters and named modules below it. Names are dotted paths; a module's own parameters come before those of the
/// modules below, each in the order of registration, as PyTorch lists them.
/// </summary>
public abstract class LoraModule : IDisposable
{
    private readonly List<KeyValuePair<string, Tensor>> _parameters = [];
    private readonly List<KeyValuePair<string, LoraModule>> _modules = [];

    /// <summary>Whether the module is in training mode, as it is at first.</summary>
    public bool Training { get; private set; } = true;

    /// <summary>This module and all below it, depth first.</summary>
    public IEnumerable<LoraModule> Modules => _modules.SelectMany(module => module.Value.Modules).Prepend(this);

    /// <summary>Every parameter with its dotted name; the tensors stay the module's own.</summary>
    public IEnumerable<KeyValuePair<string, Tensor>> NamedParameters() => _parameters.Concat(
        _modules.SelectMany(module => module.Value.NamedParameters().Select(pair => KeyValuePair.Create($"{module.Key}.{pair.Key}", pair.Value))));

    /// <summary>The module's own parameter of that name, or null.</summary>
    public Tensor? Parameter(string name) => _parameters.Find(pair => pair.Key == name).Value;

    /// <summary>Switches this module and all below it to training mode, or to evaluation.</summary>
    public virtual void Train(bool mode = true)
    {
        Training = mode;
        _modules.ForEach(module => module.Value.Train(mode));
    }

    /// <summary>Switches to evaluation.</summary>
    public void Eval() => Train(false);

    /// <summary>Copies values into the parameters they name. Names that are left out keep their values, as with <c>strict=False</c>.</summary>
    /// <exception cref="DistTuneException">A name is unknown or a shape differs.</exception>
    public void LoadStateDict(IEnumerable<KeyValuePair<string, Tensor>> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        var own = NamedParameters().ToDictionary(pair => pair.Key, pair => pair.Value, StringComparer.Ordinal);
        using var frozen = torch.no_grad();
        foreach (var (name, value) in state)
        {
            if (!own.TryGetValue(name, out var parameter))
            {
                throw new DistTuneException(FaultKind.Configuration, $"There is no parameter '{name}'; the module has {string.Join(", ", own.Keys)}. Load the state of the same module.");
            }

            if (!parameter.shape.AsSpan().SequenceEqual(value.shape))
            {
                throw new DistTuneException(
                    FaultKind.Configuration,
                    $"The parameter '{name}' has shape [{string.Join(", ", parameter.shape)}]; the state's is [{string.Join(", ", value.shape)}]. Load the state of the same module.");
            }

            parameter.copy_(value);
        }
    }

    /// <summary>Frees the parameters.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the parameters of this module and of all below it.</summary>
    /// <param name="disposing">Whether this is not a finalizer.</param>
    protected virtual void Dispose(bool disposing)
    {
        if (disposing)
        {
            _parameters.ForEach(pair => pair.Value.Dispose());
            _modules.ForEach(pair => pair.Value.Dispose());
        }
    }

    /// <summary>Adds a trainable parameter; it outlives the dispose scope it was made in.</summary>
    protected Tensor Register(string name, Tensor value)
    {
        ArgumentNullException.ThrowIfNull(value);
        _parameters.Add(KeyValuePair.Create(name, value.DetachFromDisposeScope().requires_grad_()));
        return value;
    }

    /// <summary>Adds a module below this one, which then owns it.</summary>
    protected T Register<T>(string name, T module)
        where T : LoraModule
    {
        _modules.Add(KeyValuePair.Create<string, LoraModule>(name, module));
        return module;
    }
}
