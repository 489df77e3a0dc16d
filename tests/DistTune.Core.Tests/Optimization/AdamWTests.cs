using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Optimization;

public sealed class AdamWTests
{
    [Theory]
    [InlineData("adamw_plain")]
    [InlineData("adamw_weight_decay")]
    [InlineData("adamw_other_betas")]
    public void Step_TwentyGradients_MatchesTorch(string name)
    {
        var options = OptimGoldens.Json($"{name}.json");
        var tensors = OptimGoldens.Tensors($"{name}.safetensors");
        var layout = ParameterLayout.Create([new("p", [2, 3], 0, 0)]);
        var optimizer = new AdamW(layout, new OptimizerSettings(
            options.GetProperty("betas")[0].GetDouble(),
            options.GetProperty("betas")[1].GetDouble(),
            options.GetProperty("eps").GetDouble(),
            options.GetProperty("weight_decay").GetDouble()));
        var rate = options.GetProperty("lr").GetDouble();
        var tolerance = options.GetProperty("tolerance");
        var parameters = Padded(tensors["param.init"], layout);
        var steps = options.GetProperty("steps").GetInt32();

        // torch updates its moments in place and the file's makers kept references: every exp_avg.SS holds the state after the last step.
        var momentsOfEveryStep = !tensors["exp_avg.00"].AsSpan().SequenceEqual(tensors[$"exp_avg.{steps - 1:00}"]);

        for (var step = 0; step < steps; step++)
        {
            optimizer.Step(parameters, Padded(tensors[$"grad.{step:00}"], layout), rate);

            AssertClose(tensors[$"param.{step:00}"], parameters, tolerance.GetProperty("param_abs").GetDouble(), 0);
            if (step < steps - 1 && !momentsOfEveryStep)
            {
                continue;
            }

            AssertClose(tensors[$"exp_avg.{step:00}"], optimizer.FirstMoment.Span, 0, tolerance.GetProperty("exp_avg_rel").GetDouble());
            AssertClose(tensors[$"exp_avg_sq.{step:00}"], optimizer.SecondMoment.Span, 0, tolerance.GetProperty("exp_avg_sq_rel").GetDouble());
        }
    }

    [Fact]
    public void Step_VectorisedAndScalarPaths_GiveTheSameBits()
    {
        // One tensor of 1000 takes the vector path; a thousand tensors of one element take the scalar path.
        var whole = ParameterLayout.Create([new("w", [1000], 0, 0)]);
        var single = ParameterLayout.Create(Enumerable.Range(0, 1000).Select(i => new ParameterEntry($"s{i}", [1], 0, 0)));
        var settings = new OptimizerSettings(WeightDecay: 0.1);
        var (a, b) = (new AdamW(whole, settings), new AdamW(single, settings));
        var random = new Random(7);
        var start = Values(random, 1000);
        var (parametersA, parametersB) = (Padded(start, whole), Spread(start, single));

        for (var step = 0; step < 10; step++)
        {
            var gradient = Values(random, 1000);
            a.Step(parametersA, Padded(gradient, whole), 1e-3, 0.37);
            b.Step(parametersB, Spread(gradient, single), 1e-3, 0.37);
        }

        for (var i = 0; i < 1000; i++)
        {
            Assert.Equal(BitConverter.SingleToInt32Bits(parametersA[i]), BitConverter.SingleToInt32Bits(parametersB[i * ParameterLayout.Alignment]));
        }
    }

    [Fact]
    public void Step_Groups_DecayAndRateScaleApplyPerEntry()
    {
        var layout = ParameterLayout.Create(
        [
            new("decayed", [2], 0, 0),
            new("kept", [2], 0, 0, WeightDecay: false),
            new("fast", [2], 0, 0, WeightDecay: false, LearningRateScale: 4),
        ]);
        var optimizer = new AdamW(layout, new OptimizerSettings(WeightDecay: 0.5));
        var parameters = new float[layout.Length];
        var gradient = new float[layout.Length];
        foreach (var entry in layout.Entries)
        {
            parameters[entry.Offset] = 1;
            parameters[entry.Offset + 1] = 1;
            gradient[entry.Offset + 1] = 1;
        }

        optimizer.Step(parameters, gradient, 0.1);

        Assert.Equal(0.95f, parameters[0], 1e-6);
        Assert.Equal(1f, parameters[64], 1e-6);
        Assert.Equal(0.9f, parameters[65], 1e-6);
        Assert.Equal(0.6f, parameters[129], 1e-6);
    }

    [Fact]
    public void Step_GapsOfTheLayout_StayUntouched()
    {
        var layout = ParameterLayout.Create([new("a", [3], 0, 0), new("b", [3], 0, 0)]);
        var optimizer = new AdamW(layout, new OptimizerSettings(WeightDecay: 0.5));
        var parameters = new float[layout.Length];
        var gradient = Enumerable.Repeat(1f, parameters.Length).ToArray();

        optimizer.Step(parameters, gradient, 0.1);

        Assert.All(parameters[3..64], value => Assert.Equal(0f, value));
        Assert.NotEqual(0f, parameters[66]);
    }

    [Fact]
    public void Restore_AfterSomeSteps_ContinuesBitForBit()
    {
        var layout = ParameterLayout.Create([new("p", [100], 0, 0)]);
        var straight = new AdamW(layout, new OptimizerSettings());
        var random = new Random(3);
        var parameters = Padded(Values(random, 100), layout);
        var gradients = Enumerable.Range(0, 6).Select(_ => Padded(Values(random, 100), layout)).ToArray();
        foreach (var gradient in gradients[..3])
        {
            straight.Step(parameters, gradient, 1e-2);
        }

        var resumed = new AdamW(layout, new OptimizerSettings());
        resumed.Restore(straight.StepCount, straight.FirstMoment.Span, straight.SecondMoment.Span);
        var copy = parameters.ToArray();
        foreach (var gradient in gradients[3..])
        {
            straight.Step(parameters, gradient, 1e-2);
            resumed.Step(copy, gradient, 1e-2);
        }

        Assert.Equal(parameters, copy);
    }

    [Fact]
    public void Step_VectorOfAnotherLength_Throws()
    {
        var layout = ParameterLayout.Create([new("p", [2], 0, 0)]);
        var error = Assert.Throws<ArgumentException>(() => new AdamW(layout, new OptimizerSettings()).Step(new float[2], new float[64], 1));
        Assert.Contains("2 floats; the layout has 64", error.Message, StringComparison.Ordinal);
    }

    private static float[] Values(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)((random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-6, 2))))];

    private static float[] Padded(ReadOnlySpan<float> values, ParameterLayout layout)
    {
        var flat = new float[layout.Length];
        values.CopyTo(flat);
        return flat;
    }

    private static float[] Spread(float[] values, ParameterLayout layout)
    {
        var flat = new float[layout.Length];
        for (var i = 0; i < values.Length; i++)
        {
            flat[layout.Entries[i].Offset] = values[i];
        }

        return flat;
    }

    private static void AssertClose(float[] expected, ReadOnlySpan<float> actual, double absolute, double relative)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= absolute + (relative * Math.Abs(expected[i])),
                $"Element {i}: expected {expected[i]:R}, got {actual[i]:R}.");
        }
    }
}
