using DistTune.Core;
using Grpc.Core;

namespace DistTune.Protocol;

/// <summary>Faults as gRPC statuses and back: the one place that knows both.</summary>
public static class FaultStatus
{
    /// <summary>The status a fault is answered with.</summary>
    public static RpcException ToRpcException(DistTuneException fault)
    {
        ArgumentNullException.ThrowIfNull(fault);
        var code = fault.Kind switch
        {
            FaultKind.Unauthenticated => StatusCode.Unauthenticated,
            FaultKind.PermissionDenied => StatusCode.PermissionDenied,
            FaultKind.Stale => StatusCode.Aborted,
            FaultKind.InvalidFile => StatusCode.DataLoss,
            FaultKind.Configuration => StatusCode.FailedPrecondition,
            _ => StatusCode.Internal,
        };
        return new RpcException(new Status(code, fault.Message));
    }

    /// <summary>The fault that a status stands for, or null if calling again may help.</summary>
    public static DistTuneException? ToFault(RpcException answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        FaultKind? kind = answer.StatusCode switch
        {
            StatusCode.Unauthenticated => FaultKind.Unauthenticated,
            StatusCode.PermissionDenied => FaultKind.PermissionDenied,
            StatusCode.FailedPrecondition => FaultKind.Configuration,
            StatusCode.InvalidArgument or StatusCode.Unimplemented => FaultKind.Failed,
            _ => null,
        };
        return kind is { } known ? new DistTuneException(known, answer.Status.Detail, answer) : null;
    }
}
