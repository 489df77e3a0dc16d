using DistTune.Core.Training;
using DistTune.Engine.Journal;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Tests;

public sealed class GradientUploadTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-upload-").FullName;
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

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(1, true)]
    public void In_memory_or_not_the_spool_comes_to_the_vector_and_its_hash(int vectors, bool leaves)
    {
        var layout = ParameterLayout.Create([new("a", [70_001], 0, 0), new("b", [100_003], 0, 0), new("c", [5], 0, 1)]);
        var expected = new float[layout.Length];
        var parts = new List<(long Offset, float[] Values)>();
        foreach (var entry in layout.Entries)
        {
            var values = Enumerable.Range(0, (int)entry.Length).Select(i => MathF.Sin(entry.Offset + i)).ToArray();
            values.CopyTo(expected, entry.Offset);
            parts.AddRange(values.Chunk(9_999).Select((chunk, i) => (entry.Offset + (9_999 * i), chunk)));
        }

        var pool = new BufferPool(layout, vectors);
        using var spool = new GradientSpool(new FolderStorage(_folder), 1, layout.Length);
        using (var old = new GradientUpload(layout, pool, spool.Begin()))
        {
            var dirty = new float[layout.Length];
            dirty.AsSpan().Fill(float.NaN);
            old.Write(0, dirty);
        }

        using var upload = new GradientUpload(layout, pool, spool.Begin());
        new Random(3).Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(parts));
        for (var i = 0; i < parts.Count; i++)
        {
            Assert.Null(upload.Write(parts[i].Offset, parts[i].Values));
            if (leaves && i == parts.Count / 2)
            {
                upload.LeaveMemory();
            }
        }

        Assert.Null(upload.Complete());
        Assert.Null(upload.NonFinite);
        Assert.Equal(GradientHash.Of(expected), upload.Sha256);
        var kept = new float[layout.Length];
        Assert.True(spool.TryRead(upload.Spool!.Keep(), 0, kept));
        Assert.Equal(expected, kept);
        Assert.Equal(vectors, pool.Created);
        Assert.Equal(vectors == 1 && !leaves, upload.Detach() is not null);
    }

    [Fact]
    public void The_first_value_that_is_not_finite_is_found_in_whatever_order_the_parts_come()
    {
        var layout = ParameterLayout.Create([new("a", [3 * GradientHash.BlockFloats], 0, 0)]);
        using var upload = new GradientUpload(layout, new BufferPool(layout));
        var values = new float[GradientHash.BlockFloats];
        values[7] = float.NaN;
        values[9] = float.PositiveInfinity;
        foreach (var block in (int[])[2, 1, 0])
        {
            upload.Write(block * (long)GradientHash.BlockFloats, block == 0 ? new float[GradientHash.BlockFloats] : values);
        }

        Assert.Equal(GradientHash.BlockFloats + 7, upload.NonFinite?.Index);
    }

    [Fact]
    public void Parts_with_holes_between_all_of_them_are_refused_before_they_take_memory()
    {
        var layout = ParameterLayout.Create([new("a", [100_000], 0, 0)]);
        using var upload = new GradientUpload(layout, new BufferPool(layout));

        var fault = Enumerable.Range(0, 50_000).Select(i => upload.Write(2 * i, [1])).First(fault => fault is not null);

        Assert.Contains("leave 1026 holes", fault, StringComparison.Ordinal);
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
