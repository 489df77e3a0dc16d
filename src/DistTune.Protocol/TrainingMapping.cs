using System.Collections.Immutable;
using System.Globalization;
using DistTune.Core;
using DistTune.Core.Quantization;
using DistTune.Core.Training;
using DistTune.Engine;
using V1 = DistTune.Protocol.V1;

namespace DistTune.Protocol;

/// <summary>The Engine's records as messages and back.</summary>
public static class TrainingMapping
{
    /// <summary>The part of a plan that defines a worker's computer.</summary>
    public static V1.RunFacts ToFacts(RunPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return new V1.RunFacts
        {
            RunId = plan.RunId,
            BaseModel = plan.BaseModel,
            BaseSha256 = plan.Hashes.Base,
            BaseInBfloat16 = plan.BaseInBFloat16,
            GradientCheckpointing = plan.GradientCheckpointing,
            Seed = plan.Seed,
            LayoutLength = plan.Layout.Length,
            VocabularySize = plan.VocabularySize,
            LabelSmoothing = plan.LabelSmoothing,
            Quantization = plan.Quantization is { } quantization
                ? new V1.Quantization
                {
                    Kind = FourBitSettings.Spelling(quantization.Kind),
                    BlockSize = quantization.BlockSize,
                    DoubleQuantization = quantization.DoubleQuantization,
                }
                : null,
            Adapter = AdapterMapping.ToMessage(plan.Adapter),
        };
    }

    /// <summary>Which adapter is trained.</summary>
    /// <exception cref="DistTuneException">It is of a kind this build does not know.</exception>
    public static AdapterSettings ToSettings(V1.AdapterSettings message)
    {
        ArgumentNullException.ThrowIfNull(message);
        return AdapterMapping.ToSettings(message);
    }

    /// <summary>How a run's micro-batches are computed.</summary>
    public static PassSettings ToPass(V1.RunFacts message)
    {
        ArgumentNullException.ThrowIfNull(message);
        return new PassSettings(message.GradientCheckpointing, message.Seed, message.LabelSmoothing);
    }

    /// <summary>How the base is held in four bits; null if it is not.</summary>
    /// <exception cref="DistTuneException">It is of a kind this build does not know.</exception>
    public static FourBitSettings? ToQuantization(V1.Quantization? message) => message is null
        ? null
        : new FourBitSettings(
            message.Kind switch
            {
                "nf4" => FourBitKind.Nf4,
                "fp4" => FourBitKind.Fp4,
                _ => throw new DistTuneException(FaultKind.Failed, $"The quantisation '{message.Kind}' is not known here; coordinator and worker must be of one version."),
            },
            message.BlockSize,
            message.DoubleQuantization);

    /// <summary>A fingerprint as a message.</summary>
    public static V1.Fingerprint ToMessage(WorkerFingerprint fingerprint)
    {
        ArgumentNullException.ThrowIfNull(fingerprint);
        return new V1.Fingerprint
        {
            ProductVersion = fingerprint.ProductVersion,
            InstructionSet = fingerprint.InstructionSet,
            ComputeLibrary = fingerprint.ComputeLibrary,
            BaseSha256 = fingerprint.BaseSha256,
            Canaries = { fingerprint.Canaries },
        };
    }

    /// <summary>A fingerprint from a message.</summary>
    public static WorkerFingerprint ToFingerprint(V1.Fingerprint? message) => message is null
        ? throw new DistTuneException(FaultKind.Configuration, "The registration has no fingerprint; use a worker of this version.")
        : new WorkerFingerprint(message.ProductVersion, message.InstructionSet, message.ComputeLibrary, message.BaseSha256)
        {
            Canaries = message.Canaries.ToImmutableDictionary(StringComparer.Ordinal),
        };

    /// <summary>A grant's reference as a message.</summary>
    public static V1.GroupReference ToMessage(GrantReference reference)
    {
        ArgumentNullException.ThrowIfNull(reference);
        return new V1.GroupReference
        {
            RunId = reference.RunId,
            Term = reference.Term,
            Step = reference.Group.Step,
            Kind = ToMessage(reference.Group.Kind),
            Index = reference.Group.Index,
            AdapterSha256 = reference.AdapterSha256,
            Attempt = reference.Attempt,
        };
    }

    /// <summary>A grant's reference from a message.</summary>
    public static GrantReference ToReference(V1.GroupReference? message) => message is null
        ? throw new DistTuneException(FaultKind.Stale, "The message names no group.")
        : new GrantReference(
            message.RunId, new GroupKey(message.Step, ToKind(message.Kind), message.Index), message.AdapterSha256, message.Attempt, message.Term);

    /// <summary>A grant as a message.</summary>
    public static V1.Grant ToMessage(Grant grant)
    {
        ArgumentNullException.ThrowIfNull(grant);
        var message = new V1.Grant
        {
            Reference = ToMessage(GrantReference.To(grant)),
            LeaseMilliseconds = (long)grant.LeaseDuration.TotalMilliseconds,
            TraceParent = grant.TraceParent ?? string.Empty,
            MicroBatches = { grant.Group.MicroBatches.Select(ToMessage) },
        };
        if (grant.Group.Generation is { } generation)
        {
            message.Generation = new V1.GenerationSettings
            {
                MaxNewTokens = generation.MaxNewTokens,
                StopTokens = { generation.StopTokens.Select(token => checked((uint)token)) },
                Temperature = generation.Temperature,
                TopP = generation.TopP,
                Seed = generation.Seed,
            };
        }

        return message;
    }

    /// <summary>The group of a grant's message.</summary>
    public static GroupSpec ToGroup(V1.Grant message)
    {
        ArgumentNullException.ThrowIfNull(message);
        var reference = ToReference(message.Reference);
        return new GroupSpec(
            reference.RunId,
            reference.Group.Step,
            reference.Group.Index,
            reference.Group.Kind,
            [.. message.MicroBatches.Select(batch => new MicroBatch([.. batch.Segments.Select(ToSegment)]))],
            message.Generation is { } generation
                ? new GenerationSettings(generation.MaxNewTokens, ToTokens(generation.StopTokens), generation.Temperature, generation.TopP, generation.Seed)
                : null);
    }

    /// <summary>The end of an upload.</summary>
    public static V1.PushTrailer ToTrailer(GroupOutcome outcome, string gradientSha256)
    {
        ArgumentNullException.ThrowIfNull(outcome);
        return new V1.PushTrailer
        {
            GradientSha256 = gradientSha256,
            LossSum = outcome.LossSum,
            TrainedTokens = outcome.TrainedTokens,
            TotalTokens = outcome.TotalTokens,
            Continuations = { outcome.Continuations.Select(tokens => new V1.Continuation { TokenIds = { tokens.Select(token => checked((uint)token)) } }) },
            Timings = new V1.Timings
            {
                ForwardSeconds = outcome.Timings.ForwardSeconds,
                BackwardSeconds = outcome.Timings.BackwardSeconds,
                UploadSeconds = outcome.Timings.UploadSeconds,
            },
        };
    }

    /// <summary>What a worker reports of a group.</summary>
    public static GroupOutcome ToOutcome(V1.PushTrailer trailer)
    {
        ArgumentNullException.ThrowIfNull(trailer);
        var timings = trailer.Timings ?? new V1.Timings();
        return new GroupOutcome(
            trailer.LossSum,
            trailer.TrainedTokens,
            trailer.TotalTokens,
            [.. trailer.Continuations.Select(continuation => ToTokens(continuation.TokenIds))],
            new GroupTimings(timings.ForwardSeconds, timings.BackwardSeconds, timings.UploadSeconds));
    }

    /// <summary>What became of a result, as a message.</summary>
    public static V1.PushAck ToMessage(SubmitVerdict verdict) => new()
    {
        Reason = verdict.Reason,
        Status = verdict.Status switch
        {
            SubmitStatus.Accepted => V1.PushStatus.Accepted,
            SubmitStatus.Duplicate => V1.PushStatus.Duplicate,
            SubmitStatus.Stale => V1.PushStatus.Stale,
            SubmitStatus.Invalid => V1.PushStatus.Invalid,
            SubmitStatus.Unknown => V1.PushStatus.Unknown,
            _ => V1.PushStatus.Fatal,
        },
    };

    /// <summary>What is here of a result, as a message.</summary>
    public static V1.QueryUploadResponse ToMessage(UploadAnswer answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        return new V1.QueryUploadResponse
        {
            State = answer.State switch
            {
                UploadState.Unknown => V1.UploadState.Unknown,
                UploadState.Partial => V1.UploadState.Partial,
                UploadState.Done => V1.UploadState.Done,
                _ => V1.UploadState.Stale,
            },
            Received = { answer.Received.Select(range => new V1.FloatRange { Start = range.Start, End = range.End }) },
            Reference = answer.Grant is { } grant ? ToMessage(GrantReference.To(grant)) : null,
            Reason = answer.Reason,
        };
    }

    private static V1.GroupKind ToMessage(GroupKind kind) => kind switch
    {
        GroupKind.Train => V1.GroupKind.Train,
        GroupKind.Evaluate => V1.GroupKind.Evaluate,
        _ => V1.GroupKind.Generate,
    };

    private static GroupKind ToKind(V1.GroupKind kind) => kind switch
    {
        V1.GroupKind.Train => GroupKind.Train,
        V1.GroupKind.Evaluate => GroupKind.Evaluate,
        V1.GroupKind.Generate => GroupKind.Generate,
        _ => throw Unknown("group kind", (int)kind),
    };

    private static V1.MicroBatch ToMessage(MicroBatch batch) => new()
    {
        Segments =
        {
            batch.Segments.Select(segment => new V1.Segment
            {
                TokenIds = { segment.TokenIds.Select(token => checked((uint)token)) },
                LabelBounds = { segment.Labels.SelectMany(span => new[] { checked((uint)span.Start), checked((uint)span.End) }) },
                Sample = segment.Sample,
            }),
        },
    };

    private static Segment ToSegment(V1.Segment message)
    {
        if (message.LabelBounds.Count % 2 != 0)
        {
            throw new DistTuneException(FaultKind.Failed, "A segment has a label range without an end; use a coordinator of this version.");
        }

        var bounds = ToTokens(message.LabelBounds);
        return new Segment(
            ToTokens(message.TokenIds), [.. Enumerable.Range(0, bounds.Length / 2).Select(i => new LabelSpan(bounds[2 * i], bounds[(2 * i) + 1]))], message.Sample);
    }

    private static ImmutableArray<int> ToTokens(IReadOnlyCollection<uint> tokens) => [.. tokens.Select(token => token <= int.MaxValue
        ? (int)token
        : throw new DistTuneException(FaultKind.Failed, string.Create(CultureInfo.InvariantCulture, $"The token {token} in a message is beyond any vocabulary; coordinator and worker must be of one version.")))];

    internal static DistTuneException Unknown(string what, int value) => new(
        FaultKind.Failed, string.Create(CultureInfo.InvariantCulture, $"The {what} {value} is not known here; coordinator and worker must be of one version."));
}
