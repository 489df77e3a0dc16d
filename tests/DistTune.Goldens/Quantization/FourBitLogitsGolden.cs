using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Goldens.Models;
using DistTune.Modeling;

namespace DistTune.Goldens.Quantization;

/// <summary>A 4-bit model folder beside its numbers: keys of the file, restored weights bit for bit, logits.</summary>
public sealed class FourBitLogitsGolden : IGoldenKind
{
    private const string Suffix = ".golden.safetensors";
    private const string Restored = "dequant/";
    private const double LogitsTolerance = 4e-5;

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*" + Suffix).Order(StringComparer.Ordinal)
        let model = file[..^Suffix.Length]
        where File.Exists(Path.Combine(model, ModelFamilies.ConfigName)) && JsonCase.HasAll(JsonCase.Root(model + ".json"), "keys", "quant_state_json")
        select GoldenCase.OfFile(file, model + ".json");

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var model = golden.Path[..^Suffix.Length];
        using var file = TensorFile.Open(golden.Path);
        using var weights = WeightSources.Open(model);
        var spec = GoldenModels.Describe(model);
        foreach (var name in file.Names.Where(name => name.StartsWith(Restored, StringComparison.Ordinal)))
        {
            var expected = file.Floats(name);
            var values = new float[expected.Length];
            weights.ReadFloat32(name[Restored.Length..], values);
            meter.Absolute(name, values, expected, 0);
        }

        var batch = PaddedBatch.Read(file);
        foreach (var keepsFourBit in (bool[])[true, false])
        {
            using var loaded = BaseModel.Load(weights, spec, GoldenModels.PrecisionOf(weights), keepsFourBit: keepsFourBit);
            var details = ForwardDetails.Compute(loaded, batch.Segments);
            meter.Absolute(keepsFourBit ? "logits over four bits" : "logits over restored weights", details.Logits, batch.Unpad(file.Floats("logits")), LogitsTolerance);
        }

        return Task.CompletedTask;
    }
}
