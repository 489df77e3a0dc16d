using DistTune.Core.Optimization;

namespace DistTune.Core.Tests.Optimization;

public sealed class GradientClippingTests
{
    [Fact]
    public void NormAndFactor_GoldenCases_MatchTorch()
    {
        var golden = OptimGoldens.Json("clipping.json");
        var tensors = OptimGoldens.Tensors("clipping.safetensors");
        var tolerance = golden.GetProperty("tolerance").GetProperty("rel").GetDouble();
        foreach (var item in golden.GetProperty("cases").EnumerateArray())
        {
            var index = item.GetProperty("case").GetInt32();
            var before = Joined(tensors, $"{index}.before.");
            var after = Joined(tensors, $"{index}.after.");
            var maximum = item.GetProperty("max_norm").ValueKind == System.Text.Json.JsonValueKind.Null
                ? (double?)null
                : item.GetProperty("max_norm").GetDouble();

            var norm = GradientClipping.Norm(before);
            var factor = GradientClipping.Factor(norm, maximum);

            AssertRelative(item.GetProperty("total_norm").GetDouble(), norm, tolerance);
            AssertRelative(item.GetProperty("coefficient").GetDouble(), factor, tolerance);
            for (var i = 0; i < before.Length; i++)
            {
                AssertRelative(after[i], (float)factor * before[i], tolerance);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4095)]
    [InlineData(4099)]
    [InlineData(100_003)]
    public void Norm_AnyLength_EqualsTheLaneOrderWrittenOut(int length)
    {
        var random = new Random(length);
        var gradient = new float[length];
        foreach (ref var value in gradient.AsSpan())
        {
            value = (float)(random.NextDouble() - 0.5);
        }

        Assert.Equal(LaneByLane(gradient), GradientClipping.Norm(gradient));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Norm_NonFiniteElement_IsNotFinite(float value)
    {
        var gradient = new float[5000];
        gradient[4321] = value;
        Assert.False(double.IsFinite(GradientClipping.Norm(gradient)));
    }

    [Fact]
    public void Norm_Empty_IsZero() => Assert.Equal(0, GradientClipping.Norm([]));

    // The definition, scalar: eight lanes a block, lanes in order, then the tail; blocks in order.
    private static double LaneByLane(float[] gradient)
    {
        var total = 0.0;
        foreach (var block in gradient.Chunk(GradientClipping.BlockLength))
        {
            var lanes = new double[8];
            var whole = block.Length - (block.Length % 8);
            for (var i = 0; i < whole; i++)
            {
                lanes[i % 8] += (double)block[i] * block[i];
            }

            var sum = 0.0;
            foreach (var lane in lanes)
            {
                sum += lane;
            }

            for (var i = whole; i < block.Length; i++)
            {
                sum += (double)block[i] * block[i];
            }

            total += sum;
        }

        return Math.Sqrt(total);
    }

    private static float[] Joined(Dictionary<string, float[]> tensors, string prefix) =>
        [.. Enumerable.Range(0, 3).SelectMany(i => tensors[$"{prefix}{i}"])];

    private static void AssertRelative(double expected, double actual, double tolerance) =>
        Assert.True(Math.Abs(expected - actual) <= tolerance * Math.Abs(expected), $"Expected {expected:R}, got {actual:R}.");
}
