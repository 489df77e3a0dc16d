using DistTune.Core.Training;

namespace DistTune.Modeling.Tests;

/// <summary>Keeps a gradient and how often each element came.</summary>
internal sealed class RecordingSink(ParameterLayout layout) : ITokenSink
{
    private readonly int[] _writes = new int[layout.Length];

    public float[] Gradient { get; } = new float[layout.Length];

    public List<long> Offsets { get; } = [];

    public int ProgressCount { get; private set; }

    public List<(long Sample, int Token)> Tokens { get; } = [];

    /// <summary>Runs at each progress report.</summary>
    public Action? OnProgress { get; init; }

    /// <summary>Whether every element of every tensor came exactly once, and no gap did.</summary>
    public bool IsComplete => layout.Entries.Sum(entry => entry.Length) == _writes.Sum()
        && layout.Entries.All(entry => _writes.AsSpan((int)entry.Offset, (int)entry.Length).IndexOfAnyExcept(1) < 0);

    public void Write(long offset, ReadOnlySpan<float> values)
    {
        Offsets.Add(offset);
        values.CopyTo(Gradient.AsSpan((int)offset));
        for (var index = 0; index < values.Length; index++)
        {
            _writes[offset + index]++;
        }
    }

    public void Progress()
    {
        ProgressCount++;
        OnProgress?.Invoke();
    }

    public void Append(long sample, int token) => Tokens.Add((sample, token));
}
