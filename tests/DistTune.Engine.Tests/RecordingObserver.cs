using System.Collections.Concurrent;

namespace DistTune.Engine.Tests;

internal sealed class RecordingObserver : IRunObserver
{
    private readonly ConcurrentQueue<RunEvent> _events = new();

    public void Observe(RunEvent runEvent) => _events.Enqueue(runEvent);

    public IEnumerable<T> Of<T>() where T : RunEvent => _events.OfType<T>();
}
