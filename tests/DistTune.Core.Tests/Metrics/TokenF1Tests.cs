using System.Text.Json;
using DistTune.Core.Metrics;
using DistTune.Core.Tests.Optimization;

namespace DistTune.Core.Tests.Metrics;

public sealed class TokenF1Tests
{
    [Fact]
    public void Score_EveryGoldenPair_MatchesSquadWithTurkishCase()
    {
        var expected = Rows("squad.jsonl").Select(row => row.GetProperty("turkish")).ToArray();
        var pairs = Rows("pairs.jsonl");
        Assert.Equal(expected.Length, pairs.Length);
        foreach (var (pair, row) in pairs.Zip(expected))
        {
            var prediction = pair.GetProperty("prediction").GetString()!;
            var best = pair.GetProperty("references").EnumerateArray().Max(reference => TokenF1.Score(prediction, reference.GetString()!));

            Assert.Equal(row.GetProperty("normalised").GetString(), TokenF1.Normalise(prediction));
            Assert.Equal(row.GetProperty("f1").GetDouble(), best, 1e-9);
        }
    }

    [Fact]
    public void Mean_NoPairs_IsZero() => Assert.Equal(0, TokenF1.Mean([]));

    private static JsonElement[] Rows(string name)
    {
        var path = Path.Combine(OptimGoldens.Folder, "..", "metrics", name);
        return [.. File.ReadAllText(path).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
    }
}
