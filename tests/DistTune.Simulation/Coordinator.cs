using System.Globalization;
using DistTune.Engine;
using DistTune.Engine.Tests;

namespace DistTune.Simulation;

/// <summary>One life of a coordinator, with the workers that are registered with it.</summary>
internal sealed class Coordinator
{
    private int _named;

    public Coordinator(DiskProcess disk, RunStore store, EngineOptions options, TimeProvider time, int workers)
    {
        Disk = disk;
        Registry = new RunRegistry(options, time);
        Run = Registry.Add(store, new CompositeRunObserver());
        for (var i = 0; i < workers; i++)
        {
            Join();
        }
    }

    public DiskProcess Disk { get; }

    public RunRegistry Registry { get; }

    public RunExecution Run { get; }

    public List<(WorkerSession Session, List<Grant> Held)> Workers { get; } = [];

    /// <summary>A worker is killed and another one comes.</summary>
    public void LoseWorker(Random random)
    {
        var index = random.Next(Workers.Count);
        Registry.Leave(Workers[index].Session, "killed");
        Workers.RemoveAt(index);
        Join();
    }

    /// <summary>The worker of a name, if it is there.</summary>
    public WorkerSession? Find(string name) => Workers.Find(worker => worker.Session.Name == name).Session;

    /// <summary>A worker stops answering; what it holds.</summary>
    public List<(string Worker, Grant Grant)> TakeHeld(Random random)
    {
        var (session, held) = Workers[random.Next(Workers.Count)];
        List<(string Worker, Grant Grant)> taken = [.. held.Select(grant => (session.Name, grant))];
        held.Clear();
        return taken;
    }

    /// <summary>Others come for the workers that were shut out.</summary>
    public void ReplaceGone()
    {
        for (var gone = Workers.RemoveAll(worker => worker.Session.Gone); gone > 0; gone--)
        {
            Join();
        }
    }

    private void Join()
    {
        var rank = _named++;
        while (Run.Run.Quarantined.Contains(string.Create(CultureInfo.InvariantCulture, $"w{rank}")))
        {
            rank = _named++;
        }

        Workers.Add((Registry.Register(string.Create(CultureInfo.InvariantCulture, $"w{rank}"), rank, 3, FakePlan.Fingerprint()), []));
    }
}
