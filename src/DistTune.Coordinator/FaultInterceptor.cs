using DistTune.Core;
using DistTune.Protocol;
using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>Answers the faults of callers with their status and message.</summary>
internal sealed class FaultInterceptor : CallInterceptor
{
    protected override async Task<T> AroundAsync<T>(ServerCallContext context, Func<Task<T>> call)
    {
        try
        {
            return await call();
        }
        catch (DistTuneException fault)
        {
            throw FaultStatus.ToRpcException(fault);
        }
        catch (OperationCanceledException) when (context.CancellationToken.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.Cancelled, "The caller is gone."));
        }
        catch (OperationCanceledException)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, "The coordinator is stopping."));
        }
        catch (IOException)
        {
            throw new RpcException(new Status(StatusCode.Cancelled, "The caller is gone."));
        }
    }
}
