using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Engine.Tests;

/// <summary>A small plan that needs no model: what is in a group follows from its indices.</summary>
internal sealed class FakePlan(int groups, int prompts = 2, int heldOut = 3) : IGroupSource
{
    public const string BaseSha256 = "base";
    private static readonly string[] RunIds = ["run", "one", "two"];

    public string RunId { get; init; } = "run";

    public Func<int, int, bool> IsTrained { get; init; } = (_, _) => true;

    public static RunPlan Create(int groups = 5, int steps = 4, string runId = "run", int? evaluationInterval = null, FakePlan? source = null) => new()
    {
        RunId = runId,
        Hashes = new RunHashes(BaseSha256, "tokenizer", "template", "data", "configuration"),
        BaseModel = "nowhere",
        VocabularySize = 64,
        BaseInBFloat16 = false,
        GradientCheckpointing = false,
        Seed = 7,
        Adapter = new AdapterSettings(AdapterKind.Lora, 4, 8, ["all-linear"]),
        Layout = ParameterLayout.Create(
        [
            new ParameterEntry("a.lora_A.weight", [4, 33], 0, 0),
            new ParameterEntry("a.lora_B.weight", [9, 4], 0, 0),
            new ParameterEntry("b.lora_A.weight", [4, 64], 0, 1),
        ]),
        Optimizer = new OptimizerSettings(WeightDecay: 0.01),
        Schedule = new ScheduleSettings(ScheduleKind.Cosine, 0.05, 1, steps),
        MaxGradientNorm = 1.0,
        Steps = steps,
        StepsPerEpoch = steps,
        EvaluationInterval = evaluationInterval,
        Groups = source ?? new FakePlan(groups) { RunId = runId },
    };

    /// <summary>What a worker shows that computes what the others do.</summary>
    public static WorkerFingerprint Fingerprint(string library = "fake", string canary = "what all come to") =>
        WorkerFingerprint.Of(library, BaseSha256) with { Canaries = RunIds.ToImmutableDictionary(id => id, _ => canary) };

    /// <summary>Small values in the tensors, zeros in the gaps.</summary>
    public static AdapterVersion Initial(RunPlan plan)
    {
        var values = new float[plan.Layout.Length];
        foreach (var entry in plan.Layout.Entries)
        {
            for (var i = 0; i < entry.Length; i++)
            {
                values[entry.Offset + i] = FakeComputer.Noise(plan.Seed, (ulong)(entry.Offset + i)) * 0.1f;
            }
        }

        return AdapterHash.Version(values);
    }

    public ImmutableArray<GroupSpec> TrainingGroups(int step) => Make(step, GroupKind.Train, groups);

    public ImmutableArray<GroupSpec> EvaluationGroups(int step) => Make(step, GroupKind.Evaluate, heldOut);

    public ImmutableArray<GroupSpec> GenerationGroups(int step) => Make(step, GroupKind.Generate, prompts);

    private ImmutableArray<GroupSpec> Make(int step, GroupKind kind, int count) =>
    [
        .. Enumerable.Range(0, count).Select(index => new GroupSpec(
            RunId, step, index, kind, [new MicroBatch([MakeSegment(step, index)])], kind == GroupKind.Generate ? new GenerationSettings(3, [0]) : null)),
    ];

    private Segment MakeSegment(int step, int index)
    {
        var length = 4 + ((step + index) % 5);
        return new Segment([.. Enumerable.Range(1, length)], IsTrained(step, index) ? [new LabelSpan(2, length)] : [], (100 * step) + index);
    }
}
