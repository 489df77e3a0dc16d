namespace DistTune.StandIns.Tests;

public sealed class PublicSurfaceTests
{
    public static TheoryData<string> StandIns => [.. StandInFolder.Names];

    [Theory]
    [MemberData(nameof(StandIns))]
    public void Every_public_member_of_a_stand_in_is_one_of_the_real_package(string name)
    {
        var list = StandInFolder.ListOf(name);
        Assert.True(File.Exists(list), $"{name} has no API list at {list}. Copy the real package's list there.");
        var path = StandInFolder.AssemblyOf(name);
        Assert.True(File.Exists(path), $"{path} was not built. A stand-in's assembly has its folder's name.");
        var real = File.ReadAllLines(list).ToHashSet(StringComparer.Ordinal);
        var context = new StandInLoadContext();
        try
        {
            var mine = ApiListing.Of(context.LoadFromAssemblyPath(path)).ToList();
            Assert.NotEmpty(mine);
            Assert.Equal("", string.Join('\n', mine.Where(line => !real.Contains(line))));
        }
        finally
        {
            context.Unload();
        }
    }

    [Fact]
    public void There_are_stand_ins_to_compare() => Assert.Contains("TorchSharp", StandInFolder.Names);

    [Fact]
    public void A_listing_names_every_kind_of_member()
    {
        string[] expected =
        [
            "T abstract class DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T> : System.IDisposable",
            "F const DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.Limit : int = 3",
            "F static DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.Shared : T[]",
            "P DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.Count : long? { get; init; }",
            "P DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.Item[params int[] at] : T { get; }",
            "E DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.Changed : System.EventHandler",
            "C DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>(string name = default, double scale = 0.5)",
            "M DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.Dispose() : void",
            "M abstract DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.Find<K>(K key, out T value) : bool",
            "M override DistTune.StandIns.Tests.PublicSurfaceTests.Sample<T>.ToString() : string",
        ];
        Assert.Equal(expected.Order(StringComparer.Ordinal), ApiListing.Of(typeof(Sample<>)).Order(StringComparer.Ordinal));
    }

    public abstract class Sample<T>(string? name = null, double scale = 0.5) : IDisposable
    {
        public const int Limit = 3;
        public static readonly T[] Shared = [];

        public event EventHandler? Changed;

        public long? Count { get; init; }

        public T this[params int[] at] => Shared[at[0]];

        public abstract bool Find<K>(K key, out T value);

        public void Dispose() => Changed?.Invoke(this, EventArgs.Empty);

        public override string ToString() => $"{name} {scale}";

        internal void Hidden()
        {
        }
    }
}
