using DistTune.Modeling.Gradients;

namespace DistTune.Modeling.Objectives;

/// <summary>What the backward pass of each layer needs: its input, and its tape and output where it is not computed again.</summary>
internal sealed class LayerTapes(int layerCount) : IDisposable
{
    private readonly (Node? Input, Tape? Tape, Node? Output)[] _layers = new (Node?, Tape?, Node?)[layerCount];

    /// <summary>Keeps a layer's input and tape (null if the layer will be computed again); both are owned.</summary>
    public void Keep(int layer, Node input, Tape? tape) => _layers[layer] = (input, tape, null);

    /// <summary>Keeps a recorded layer's output; owned.</summary>
    public void KeepOutput(int layer, Node output) => _layers[layer].Output = output;

    /// <summary>Hands a layer's share to the caller, who frees it.</summary>
    public (Node Input, Tape? Tape, Node? Output) Take(int layer)
    {
        var (input, tape, output) = _layers[layer];
        _layers[layer] = default;
        return (input!, tape, output);
    }

    /// <summary>Frees what was not taken.</summary>
    public void Dispose()
    {
        foreach (var (input, tape, output) in _layers)
        {
            input?.Dispose();
            tape?.Dispose();
            output?.Dispose();
        }
    }
}
