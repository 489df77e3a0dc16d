using DistTune.Engine;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>What people ask for.</summary>
internal sealed class AdminService(RunRegistry registry) : Admin.AdminBase
{
    public override Task<GetStatusResponse> GetStatus(GetStatusRequest request, ServerCallContext context) => Task.FromResult(new GetStatusResponse
    {
        Term = registry.Term,
        Runs = { registry.Runs.Select(Describe) },
        Workers =
        {
            registry.Workers.Select(worker => new WorkerStatus
            {
                Worker = worker.Name,
                Rank = worker.Rank,
                Slots = worker.Slots,
                SessionId = worker.Id,
                Draining = worker.Draining,
            }),
        },
    });

    public override Task<StopRunResponse> StopRun(StopRunRequest request, ServerCallContext context)
    {
        registry.Find(request.RunId).Stop(request.Reason.Length > 0 ? request.Reason : "no reason given");
        return Task.FromResult(new StopRunResponse());
    }

    private static RunStatus Describe(RunExecution execution)
    {
        var run = execution.Run;
        var status = new RunStatus
        {
            RunId = run.RunId,
            State = run.State.ToString().ToLowerInvariant(),
            StepsTaken = run.Steps.Count,
            Steps = execution.Plan.Steps,
            AdapterSha256 = run.AdapterSha256,
            Failure = run.Failure ?? string.Empty,
        };
        if (run.Steps is [.., var last])
        {
            status.LastLoss = last.Loss;
        }

        return status;
    }
}
