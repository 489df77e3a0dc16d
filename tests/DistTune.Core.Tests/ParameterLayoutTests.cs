using DistTune.Core.Training;

namespace DistTune.Core.Tests;

public sealed class ParameterLayoutTests
{
    [Fact]
    public void Create_UnevenTensors_AlignsEveryOffset()
    {
        var layout = ParameterLayout.Create([new("a", [3, 5], 0, 0), new("b", [64], 0, 0), new("c", [1], 0, 1)]);

        Assert.Equal([0L, 64L, 128L], layout.Entries.Select(entry => entry.Offset));
        Assert.Equal(192, layout.Length);
        Assert.Equal(80, layout.ParameterCount);
    }

    [Fact]
    public void Create_RepeatedName_Throws() =>
        Assert.Throws<ArgumentException>(() => ParameterLayout.Create([new("a", [1], 0, 0), new("a", [1], 0, 0)]));
}
