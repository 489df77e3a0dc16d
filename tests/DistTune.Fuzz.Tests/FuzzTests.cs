using System.Globalization;
using DistTune.Fuzz.Tests.Formats;

namespace DistTune.Fuzz.Tests;

/// <summary>Hostile files of every format: a typed fault or success, bounded memory, no hang, no crash.</summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    private const int Fast = 25;
    private const int Full = 2000;

    private static readonly FuzzFormat[] All =
    [
        new SafetensorsFormat(), new ShardIndexFormat(), new GgufFormat(), new TokenizerFormat(), new TemplateFormat(),
        new JsonLinesFormat("chat_template"), new JsonLinesFormat("alpaca"), new JsonLinesFormat("completion"),
        new YamlFormat(), new ProtobufFormat(), new PeftConfigFormat(), new PeftWeightsFormat(), new ModelConfigFormat(), new JournalFormat(),
    ];

    public static TheoryData<string> Formats => [.. All.Select(format => format.Name)];

    [Theory]
    [MemberData(nameof(Formats))]
    public void HostileFiles_EndInATypedFault_WithinBounds(string format) => Run(format, Fast);

    [Theory]
    [Trait("Tier", "All")]
    [MemberData(nameof(Formats))]
    public void ThousandsOfHostileFiles_EndInATypedFault_WithinBounds(string format) => Run(format, Full);

    [Fact(Explicit = true)]
    public void Replay_OneCase()
    {
        var named = Environment.GetEnvironmentVariable("DISTTUNE_FUZZ")?.Split(':');
        Assert.SkipWhen(named is not { Length: 2 }, "DISTTUNE_FUZZ=FORMAT:CASE names the case to run again.");
        FuzzRun.Run(Find(named[0]), int.Parse(named[1], CultureInfo.InvariantCulture), 1);
    }

    private static FuzzFormat Find(string name) => All.Single(format => format.Name == name);

    private void Run(string name, int count)
    {
        var format = Find(name);
        var refused = FuzzRun.Run(format, 0, count);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: {format.Hostile.Count + count} hostile files, {refused} refused"));
    }
}
