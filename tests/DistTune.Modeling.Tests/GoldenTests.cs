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
        var folder = Path.Combine(Environment.GetEnvironmentVariable("DISTTUNE_THIRDPARTY")!, "..", "golden", "smollm2");
        Assert.SkipUnless(Directory.Exists(folder), "There is no folder golden/smollm2 beside the one that DISTTUNE_THIRDPARTY names.");
        return RunFolderAsync(folder);
    }

    private static Task RunAsync(string kind) => RunFolderAsync(GoldenFolder.Path(kind));

    private static async Task RunFolderAsync(string folder)
    {
        var outcomes = await GoldenSuite.RunAsync(folder, TestContext.Current.CancellationToken)
            .ToListAsync(TestContext.Current.CancellationToken);

        foreach (var outcome in outcomes)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{outcome.Outcome} {outcome.Case}: {outcome.Why}, error {outcome.LargestError} of {outcome.Tolerance}"));
        }

        Assert.DoesNotContain(outcomes, outcome => outcome.Outcome == GoldenVerdict.Failed);
        Assert.Contains(outcomes, outcome => outcome.Outcome == GoldenVerdict.Passed);
    }
}
