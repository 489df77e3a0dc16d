using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Models;

namespace DistTune.Core.Tests.Models;

/// <summary>A small Llama configuration and changes to it.</summary>
internal static class ConfigText
{
    public static DecoderSpec Describe(params (string Name, JsonNode? Value)[] changes)
    {
        using var document = JsonDocument.Parse(With(changes));
        return ModelFamilies.Describe(document.RootElement, "config.json");
    }

    public static string With(params (string Name, JsonNode? Value)[] changes)
    {
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["vocab_size"] = 32,
            ["hidden_size"] = 8,
            ["intermediate_size"] = 12,
            ["num_hidden_layers"] = 2,
            ["num_attention_heads"] = 2,
        };
        foreach (var (name, value) in changes)
        {
            config[name] = value;
        }

        return config.ToJsonString();
    }
}
