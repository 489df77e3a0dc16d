using System.Diagnostics.CodeAnalysis;
using DistTune.Core.Training;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>
/// The reduced gradients of the steps since a snapshot: with them the optimizer takes those steps again. One file a snapshot interval,
/// named after its first step; a step's place in it follows from its number.
/// </summary>
internal sealed class RedoLog(IRunStorage storage, long vectorLength) : IDisposable
{
    public const string Folder = "redo";
    private const string Prefix = "from-";
    private readonly long _bytes = Math.Max(1, vectorLength * sizeof(float));
    private IStorageFile? _file;
    private int _first;

    /// <summary>Bytes of one step's gradient.</summary>
    public long BytesPerStep => _bytes;

    /// <summary>Keeps a step's gradient; durable when it returns, its name included.</summary>
    /// <param name="step">The step.</param>
    /// <param name="gradient">The reduced gradient, before the division.</param>
    /// <param name="interval">First step of the snapshot interval.</param>
    public void Keep(int step, ReadOnlySpan<float> gradient, int interval)
    {
        if (_file is null || _first != interval)
        {
            Use(interval);
        }

        VectorFile.Write(_file, (step - _first) * _bytes, gradient);
        _file.Flush();
    }

    /// <param name="step">The step.</param>
    /// <param name="sha256">The gradient's hash; null takes what was written last, right or not.</param>
    /// <param name="gradient">Takes the gradient.</param>
    /// <returns>Whether the gradient is there.</returns>
    public bool TryRead(int step, string? sha256, Span<float> gradient)
    {
        // Several files can hold a step: one coordinator began an interval, then went back to an older snapshot.
        foreach (var first in Firsts().Where(first => first <= step).Reverse())
        {
            using var file = storage.Open(PathOf(first));
            if (VectorFile.TryRead(file, (step - first) * _bytes, gradient) && (sha256 is null || AdapterHash.Sha256(gradient) == sha256))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Deletes what only steps before this one need.</summary>
    public void ForgetBefore(int step)
    {
        var firsts = Firsts();
        for (var i = 0; i + 1 < firsts.Count && firsts[i + 1] <= step; i++)
        {
            storage.Delete(PathOf(firsts[i]));
        }
    }

    public void Dispose() => _file?.Dispose();

    [MemberNotNull(nameof(_file))]
    private void Use(int first)
    {
        _file?.Dispose();
        storage.CreateFolder(Folder);
        _file = storage.Open(PathOf(first));
        _first = first;
        storage.FlushFolder(Folder);
        storage.FlushFolder("");
    }

    private List<int> Firsts() => [.. storage.List(Folder).Select(name => VectorFile.NumberIn(name, Prefix)).OfType<int>().Order()];

    private static string PathOf(int first) => $"{Folder}/{VectorFile.Numbered(Prefix, first)}";
}
