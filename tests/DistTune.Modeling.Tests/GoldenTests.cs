using DistTune.Goldens;

namespace DistTune.Modeling.Tests;

public sealed class GoldenTests
{
    [Theory]
    [InlineData("models")]
    [InlineData("gguf")]
    [InlineData("layers")]
    [InlineData("optim")]
    [InlineData("quant")]
    [InlineData("train")]
    public Task Every_case_that_the_product_supports_equals_the_reference(string kind) => RunAsync(kind);

    [Fact]
    [Trait("Tier", "All")]
    public Task A_real_model_equals_the_reference()
    {
        Assert.SkipWhen(string.IsNullOrEmpty(Environment.GetEnvironmentVariable("DISTTUNE_THIRDPARTY")), "DISTTUNE_THIRDPARTY names no folder of real weights.");
        return RunAsync("smollm2");
    }

    private static async Task RunAsync(string kind)
    {
        var outcomes = await GoldenSuite.RunAsync(GoldenFolder.Path(kind), TestContext.Current.CancellationToken)
            .ToListAsync(TestContext.Current.CancellationToken);

        foreach (var outcome in outcomes)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{outcome.Outcome} {outcome.Case}: {outcome.Why}, error {outcome.LargestError} of {outcome.Tolerance}"));
        }

        Assert.DoesNotContain(outcomes, outcome => outcome.Outcome == GoldenVerdict.Failed);
        Assert.Contains(outcomes, outcome => outcome.Outcome == GoldenVerdict.Passed);
    }
}
