using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace DistTune.Core.Planning;

/// <summary>A prompt with what was answered before and after training.</summary>
public sealed record SamplePair(string Prompt, string Before, string After, string? Reference);

/// <summary>What was measured of an adapter.</summary>
/// <param name="Loss">Held-out loss; null if nothing is held out.</param>
/// <param name="Continuations">The new tokens of every prompt; empty if nothing was generated.</param>
public readonly record struct RunMeasurement(double? Loss, ImmutableArray<ImmutableArray<int>> Continuations);

/// <summary>What a run took.</summary>
/// <param name="Workers">Worker processes that computed.</param>
/// <param name="TokensPerSecond">Tokens computed in training for each second of training.</param>
/// <param name="PeakMemoryBytes">Highest resident memory, summed over the processes that are known.</param>
/// <param name="Seconds">Wall time, measurements included.</param>
public sealed record RunFigures(int Workers, double TokensPerSecond, long PeakMemoryBytes, double Seconds);

/// <summary>What a run came to. Names of its JSON are the properties' in snake case.</summary>
public sealed record RunSummary
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.Never,
    };

    /// <summary>The run.</summary>
    public required string RunId { get; init; }

    /// <summary>Worker processes that computed.</summary>
    public required int Workers { get; init; }

    /// <summary>Optimizer steps.</summary>
    public required int Steps { get; init; }

    /// <summary>Full path of the PEFT folder.</summary>
    public required string AdapterPath { get; init; }

    /// <summary>SHA-256 of the folder's adapter_model.safetensors.</summary>
    public required string AdapterSha256 { get; init; }

    /// <summary>Held-out loss of the base; null if nothing is held out.</summary>
    public double? LossBefore { get; init; }

    /// <summary>Held-out loss with the adapter.</summary>
    public double? LossAfter { get; init; }

    /// <summary>Held-out token F1 of the base; null if nothing was generated.</summary>
    public double? F1Before { get; init; }

    /// <summary>Held-out token F1 with the adapter.</summary>
    public double? F1After { get; init; }

    /// <summary>Tokens computed in training for each second of training.</summary>
    public double TokensPerSecond { get; init; }

    /// <summary>Highest resident memory, summed over the processes.</summary>
    public long PeakMemoryBytes { get; init; }

    /// <summary>Wall time of the run, measurements included.</summary>
    public double Seconds { get; init; }

    /// <summary>Sample answers.</summary>
    public ImmutableArray<SamplePair> Samples { get; init; } = [];

    /// <summary>One line of JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Options);

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="DistTuneException">The text is not a summary.</exception>
    public static RunSummary FromJson(string json, string path)
    {
        try
        {
            return JsonSerializer.Deserialize<RunSummary>(json, Options) ?? throw new JsonException("null");
        }
        catch (JsonException error)
        {
            throw new DistTuneException(FaultKind.InvalidFile, $"{path} is not a run's summary: {error.Message}. Run the training again.", error);
        }
    }
}
