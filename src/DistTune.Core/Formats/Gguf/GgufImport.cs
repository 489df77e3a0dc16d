using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Models;

namespace DistTune.Core.Formats;

/// <summary>Turns a GGUF model into a Hugging Face folder (its tokenizer apart).</summary>
public static class GgufImport
{
    /// <summary>Writes config.json, generation_config.json and model.safetensors; the weights are read back and compared with the configuration.</summary>
    /// <param name="ggufPath">The file to read.</param>
    /// <param name="folder">The folder to write; other files in it stay.</param>
    /// <param name="type">Float32 keeps every bit of what the file denotes; BFloat16 and Float16 round to nearest even.</param>
    /// <param name="cancellationToken">Stops before the next weight; nothing is published then.</param>
    /// <exception cref="DistTuneException">The file is not valid or not of a supported kind.</exception>
    public static void ToModelFolder(string ggufPath, string folder, WeightType type, CancellationToken cancellationToken)
    {
        using var weights = GgufWeights.Open(ggufPath);
        var spec = ModelFamilies.Describe(ggufPath);
        ModelFamilies.CheckWeights(spec, weights, ggufPath);
        var config = GgufArchitectures.Of(weights.File).Configuration(weights.File);
        ModelFolder.SetType(config, type);
        var generation = GenerationConfiguration(weights.File, config);
        AtomicFile.WriteFolder(
            folder,
            staging =>
            {
                AtomicFile.WriteText(Path.Combine(staging, ModelFamilies.ConfigName), JsonFile.Render(config));
                AtomicFile.WriteText(Path.Combine(staging, ModelFamilies.GenerationConfigName), JsonFile.Render(generation));
                WriteWeights(Path.Combine(staging, WeightSources.SingleFileName), spec, weights, type, cancellationToken);
            },
            ModelFolder.Verify);
    }

    /// <summary>The tokens that end a text or a turn.</summary>
    internal static ImmutableArray<int> EndTokens(GgufFile file)
    {
        var metadata = file.Metadata;
        return
        [
            .. new[] { "eos", "eot", "eom" }
                .Select(name => metadata.FindInteger($"tokenizer.ggml.{name}_token_id"))
                .Where(token => token is >= 0 and <= int.MaxValue)
                .Select(token => (int)token!.Value)
                .Distinct(),
        ];
    }

    private static void WriteWeights(string path, DecoderSpec spec, GgufWeights weights, WeightType type, CancellationToken cancellationToken) =>
        SafetensorsWriter.Write(path, spec.Weights.Select(weight => new WeightInfo(weight.Name, type, weight.Shape)), (weight, stream) =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            var values = new float[weight.Length];
            weights.ReadFloat32(weight.Name, values);
            SafetensorsWriter.WriteValues(stream, values, weight.Type);
        });

    private static JsonObject GenerationConfiguration(GgufFile file, JsonObject config)
    {
        var end = EndTokens(file);
        return new JsonObject
        {
            ["bos_token_id"] = config["bos_token_id"]?.DeepClone(),
            ["eos_token_id"] = end.Length switch { 0 => null, 1 => JsonValue.Create(end[0]), _ => JsonSerializer.SerializeToNode(end) },
            ["pad_token_id"] = config["pad_token_id"]?.DeepClone(),
        };
    }
}
