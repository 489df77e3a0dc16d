using DistTune.Core.Training;

namespace DistTune.Engine.Tests;

public sealed class GradientUploadTests
{
    private readonly ParameterLayout _layout = ParameterLayout.Create(
        [new ParameterEntry("a", [10], 0, 0), new ParameterEntry("b", [64], 0, 0), new ParameterEntry("c", [3, 30], 0, 1)]);

    [Fact]
    public void Parts_in_any_order_make_the_vector_and_gaps_are_cleared()
    {
        var pool = new BufferPool(_layout);
        var dirty = pool.Rent();
        dirty.AsSpan().Fill(float.NaN);
        pool.Return(dirty);
        var expected = new float[_layout.Length];
        var parts = new List<(long Offset, float[] Values)>();
        foreach (var entry in _layout.Entries)
        {
            var values = Enumerable.Range(0, (int)entry.Length).Select(i => entry.Offset + i + 0.5f).ToArray();
            values.CopyTo(expected, entry.Offset);
            parts.AddRange(values.Chunk(7).Select((chunk, i) => (entry.Offset + (7 * i), chunk)));
        }

        var random = new Random(1);
        for (var round = 0; round < 100; round++)
        {
            using var upload = new GradientUpload(_layout, pool);
            var order = parts.ToArray();
            random.Shuffle(order);
            Assert.All(order, part => Assert.Null(upload.Write(part.Offset, part.Values)));

            Assert.Null(upload.Complete());
            Assert.Equal(expected, upload.Values.ToArray());
        }

        Assert.Equal(1, pool.Created);
    }

    [Fact]
    public void A_missing_element_is_named_by_its_tensor()
    {
        using var upload = new GradientUpload(_layout, new BufferPool(_layout));
        upload.Write(0, new float[10]);
        upload.Write(64, new float[63]);
        upload.Write(128, new float[90]);

        Assert.Contains("gradient of b is not complete", upload.Complete(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 10)]
    [InlineData(5, 1)]
    [InlineData(9, 2)]
    [InlineData(60, 10)]
    public void An_element_sent_twice_is_refused(long offset, int length)
    {
        using var upload = new GradientUpload(_layout, new BufferPool(_layout));
        upload.Write(0, new float[10]);
        upload.Write(64, new float[64]);

        Assert.Contains("sent twice", upload.Write(offset, new float[length]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1, 4)]
    [InlineData(218, 64)]
    [InlineData(long.MaxValue, 1)]
    public void A_part_outside_of_the_layout_is_refused(long offset, int length)
    {
        using var upload = new GradientUpload(_layout, new BufferPool(_layout));

        Assert.Contains("outside", upload.Write(offset, new float[length]), StringComparison.Ordinal);
    }
}
