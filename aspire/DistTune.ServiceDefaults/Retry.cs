using Microsoft.Extensions.Logging;
using Polly;
using Polly.Retry;

namespace DistTune.ServiceDefaults;

/// <summary>The one way in which services call again what failed for a passing reason.</summary>
public static class Retry
{
    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan QuickDelay = TimeSpan.FromMilliseconds(250);
    private const int QuickCallsPerLine = 8;

    /// <summary>
    /// A pipeline that calls again with exponential back-off (0.2 s doubling to 10 s) and jitter, so that workers that lost the same
    /// coordinator do not return in step. Cancellation is never retried.
    /// </summary>
    /// <param name="operation">What is called, for the log.</param>
    /// <param name="isTransient">Whether calling again can help.</param>
    /// <param name="attempts">Calls after the first, at least 1; <see cref="int.MaxValue"/> goes on until the call is cancelled.</param>
    /// <param name="logger">Takes one line a failed call, of quick calls every eighth.</param>
    /// <param name="time">The clock; the system's if null.</param>
    /// <param name="quickCalls">How many of the calls follow each other by a quarter of a second before the back-off begins.</param>
    public static ResiliencePipeline Create(
        string operation, Func<Exception, bool> isTransient, int attempts, ILogger logger, TimeProvider? time = null, int quickCalls = 0) =>
        new ResiliencePipelineBuilder { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions
            {
                MaxRetryAttempts = attempts,
                BackoffType = DelayBackoffType.Exponential,
                Delay = FirstDelay,
                MaxDelay = LongestDelay,
                UseJitter = true,
                DelayGenerator = call => ValueTask.FromResult<TimeSpan?>(call.AttemptNumber < quickCalls ? QuickDelay : null),
                ShouldHandle = new PredicateBuilder().Handle<Exception>(fault => fault is not OperationCanceledException && isTransient(fault)),
                OnRetry = retry =>
                {
                    if (retry.AttemptNumber >= quickCalls || retry.AttemptNumber % QuickCallsPerLine == 0)
                    {
                        logger.Retrying(
                            operation, retry.Outcome.Exception?.Message ?? "no reason given", retry.AttemptNumber + 2, retry.RetryDelay.TotalSeconds);
                    }

                    return default;
                },
            })
            .Build();
}
