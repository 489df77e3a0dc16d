using DistTune.Core.Configuration;

namespace DistTune.Core.Tests.Configuration;

public sealed class NearestNameTests
{
    private static readonly string[] Names = ["learning_rate", "lora_r", "lora_alpha", "seed", "micro_batch_size"];

    [Theory]
    [InlineData("lerning_rate", "learning_rate")]
    [InlineData("learning-rate", "learning_rate")]
    [InlineData("LORA_R", "lora_r")]
    [InlineData("lora_aplha", "lora_alpha")]
    [InlineData("sede", "seed")]
    [InlineData("microbatch_size", "micro_batch_size")]
    public void Find_Typo_GivesWhatWasMeant(string typed, string meant) => Assert.Equal(meant, NearestName.Find(typed, Names));

    [Theory]
    [InlineData("temperature")]
    [InlineData("x")]
    [InlineData("")]
    public void Find_NothingNear_GivesNull(string typed) => Assert.Null(NearestName.Find(typed, Names));
}
