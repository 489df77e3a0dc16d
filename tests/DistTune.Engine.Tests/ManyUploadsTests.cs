using DistTune.Core.Training;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Tests;

public sealed class ManyUploadsTests : IDisposable
{
    private const int Groups = 200;
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-many-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(0)]
    [InlineData(16)]
    public async Task Two_hundred_uploads_at_a_time_take_a_few_vectors_and_come_to_the_same_bits(int inMemory)
    {
        // Gaps between the tensors, and more than one block.
        var layout = ParameterLayout.Create([new("a", [301, 100], 0, 0), new("b", [70_001], 0, 0), new("c", [33], 0, 1)]);
        var plan = FakePlan.Create(Groups, steps: 1, source: new FakePlan(Groups, 0, 0)) with { Layout = layout };
        var alone = await InProcessTraining.RunAsync(
            plan, FakePlan.Initial(plan), [new FakeComputer(layout)], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken);
        using var store = RunStore.Open(new FolderStorage(_folder), plan, FakePlan.Initial(plan), new RunStoreOptions(), TimeProvider.System);
        using var registry = new RunRegistry(new EngineOptions { VectorsInMemory = inMemory }, TimeProvider.System);
        var run = registry.Add(store, new RecordingObserver());
        var worker = registry.Register("w", 0, Groups, FakePlan.Fingerprint());
        run.Advance();
        run.Advance();

        var random = new Random(inMemory);
        var uploads = registry.TryPull(worker, Groups).Grants.Select(grant => new Sending(registry, worker, grant, run.Adapter, layout, random)).ToArray();
        Assert.Equal(Groups, uploads.Length);
        var turns = uploads.SelectMany(upload => Enumerable.Repeat(upload, upload.Parts.Count)).ToArray();
        random.Shuffle(turns);
        foreach (var upload in turns)
        {
            Assert.Null(upload.SendOne());
        }

        random.Shuffle(uploads);
        await Parallel.ForEachAsync(uploads, new ParallelOptions { MaxDegreeOfParallelism = 8 }, (sending, _) =>
        {
            using var upload = sending.Upload;
            Assert.Equal(SubmitStatus.Accepted, registry.Submit(worker, sending.Reference, sending.Outcome, upload, null).Status);
            return ValueTask.CompletedTask;
        });
        run.Advance();

        Assert.Equal(RunState.Finished, run.Run.State);
        Assert.Equal(alone.Adapter.Sha256, run.Adapter.Sha256);

        // Those that may be held, one a level of the tree for adding the others up, and the mean.
        Assert.InRange(run.VectorsMade, 2, inMemory + 9 + 1);
    }

    private sealed class Sending
    {
        public Sending(RunRegistry registry, WorkerSession worker, Grant grant, AdapterVersion adapter, ParameterLayout layout, Random random)
        {
            Reference = GrantReference.To(grant);
            Upload = registry.BeginUpload(worker, Reference).Upload!;
            Outcome = FakeComputer.Compute(grant.Group, adapter, layout, (offset, part) =>
            {
                for (var start = 0; start < part.Length;)
                {
                    var length = Math.Min(random.Next(1, 60_000), part.Length - start);
                    Parts.Push((offset + start, part.AsMemory(start, length)));
                    start += length;
                }
            });
        }

        public GrantReference Reference { get; }

        public GradientUpload Upload { get; }

        public GroupOutcome Outcome { get; }

        public Stack<(long Offset, ReadOnlyMemory<float> Values)> Parts { get; } = [];

        public string? SendOne()
        {
            var (offset, values) = Parts.Pop();
            return Upload.Write(offset, values.Span);
        }
    }
}
