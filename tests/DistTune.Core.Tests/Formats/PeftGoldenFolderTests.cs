using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Formats;

/// <summary>Adapter folders that PEFT wrote, read and written again.</summary>
public sealed class PeftGoldenFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Cases => [.. Directory.GetDirectories(Golden.Path("train"))
        .Where(folder => Directory.Exists(Path.Combine(folder, "adapter_final")))
        .Select(folder => Path.GetFileName(folder))
        .Order(StringComparer.Ordinal)];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_folder_that_is_written_again_has_the_same_tensors_and_fields(string name)
    {
        var golden = Path.Combine(Golden.Path("train"), name, "adapter_final");
        using var description = JsonDocument.Parse(File.ReadAllText(Path.Combine(golden, "..", "case.json")));
        var model = Golden.Path("models", description.RootElement.GetProperty("model").GetString()!);
        Assert.SkipWhen(!Directory.Exists(model), "The case's model is not here.");
        var adapter = PeftAdapter.Load(golden);
        var layout = AdapterLayout.Create(ModelFamilies.Describe(model), adapter.Settings);
        var values = adapter.ToVector(layout);
        using var weights = WeightSources.Open(model);

        PeftAdapter.Save(_folder.File("again"), layout, values, adapter.Settings, adapter.BaseModel!, weights: weights);

        var again = PeftAdapter.Load(_folder.File("again"));
        Assert.Equal(adapter.Names, again.Names);
        Assert.Equal(values, again.ToVector(layout));
        using var expected = JsonDocument.Parse(File.ReadAllText(Path.Combine(golden, PeftAdapter.ConfigName)));
        using var actual = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder.File("again"), PeftAdapter.ConfigName)));
        foreach (var field in actual.RootElement.EnumerateObject())
        {
            Assert.Equal((field.Name, Compact(expected.RootElement.GetProperty(field.Name))), (field.Name, Compact(field.Value)));
        }
    }

    private static string Compact(JsonElement value) => JsonSerializer.Serialize(value);
}
