using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json.Nodes;

namespace DistTune.Core.Formats;

/// <summary>GGUF files of the llama architecture.</summary>
internal sealed class LlamaGguf : IGgufArchitecture
{
    /// <summary>The table of factors on the rotary frequencies that Llama 3.1 and later carry.</summary>
    private const string RotaryFactors = "rope_freqs.weight";

    private const string BlockPrefix = "blk.";
    private const string Convert = "Use the model's Hugging Face folder instead.";

    private static readonly FrozenDictionary<string, string> TopNames = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["token_embd"] = "model.embed_tokens",
        ["output_norm"] = "model.norm",
        ["output"] = "lm_head",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, string> BlockNames = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["attn_norm"] = "input_layernorm",
        ["attn_q"] = "self_attn.q_proj",
        ["attn_k"] = "self_attn.k_proj",
        ["attn_v"] = "self_attn.v_proj",
        ["attn_output"] = "self_attn.o_proj",
        ["ffn_norm"] = "post_attention_layernorm",
        ["ffn_gate"] = "mlp.gate_proj",
        ["ffn_up"] = "mlp.up_proj",
        ["ffn_down"] = "mlp.down_proj",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <inheritdoc/>
    public string Name => "llama";

    /// <inheritdoc/>
    public string? WeightName(GgufFile file, string tensor)
    {
        if (tensor == RotaryFactors)
        {
            return null;
        }

        var dot = tensor.LastIndexOf('.');
        var suffix = dot < 0 ? "" : tensor[dot..];
        if (suffix is ".weight" or ".bias")
        {
            var stem = tensor[..dot];
            if (TopNames.TryGetValue(stem, out var top))
            {
                return top + suffix;
            }

            if (TrySplitBlock(stem, out var layer, out var part) && BlockNames.TryGetValue(part, out var name))
            {
                return string.Create(CultureInfo.InvariantCulture, $"model.layers.{layer}.{name}{suffix}");
            }
        }

        throw FileFault.Of(file.Path, $"the tensor '{tensor}' belongs to no plain llama model (a mixture of experts, perhaps)", Convert);
    }

    /// <inheritdoc/>
    public int InterleavedHeads(GgufFile file, string tensor)
    {
        var dot = tensor.LastIndexOf('.');
        if (dot < 0 || !TrySplitBlock(tensor[..dot], out _, out var part))
        {
            return 0;
        }

        return part switch
        {
            "attn_q" => Positive(file, "attention.head_count"),
            "attn_k" => KeyValueHeads(file),
            _ => 0,
        };
    }

    /// <inheritdoc/>
    public JsonObject Configuration(GgufFile file)
    {
        var hidden = Positive(file, "embedding_length");
        var heads = Positive(file, "attention.head_count");
        var headDimension = Integer(file, "attention.key_length") ?? hidden / heads;
        CheckVariant(file, headDimension);
        var bias = HasBias(file, ["attn_q", "attn_k", "attn_v", "attn_output"]);
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["attention_bias"] = bias,
            ["bos_token_id"] = Integer(file.Metadata, "tokenizer.ggml.bos_token_id"),
            ["eos_token_id"] = Integer(file.Metadata, "tokenizer.ggml.eos_token_id"),
            ["head_dim"] = headDimension,
            ["hidden_act"] = "silu",
            ["hidden_size"] = hidden,
            ["intermediate_size"] = Positive(file, "feed_forward_length"),
            ["max_position_embeddings"] = Positive(file, "context_length"),
            ["mlp_bias"] = HasBias(file, ["ffn_gate", "ffn_up", "ffn_down"]),
            ["model_type"] = "llama",
            ["num_attention_heads"] = heads,
            ["num_hidden_layers"] = Positive(file, "block_count"),
            ["num_key_value_heads"] = KeyValueHeads(file),
            ["pad_token_id"] = Integer(file.Metadata, "tokenizer.ggml.padding_token_id"),
            ["rms_norm_eps"] = file.Metadata.FindNumber(Key("attention.layer_norm_rms_epsilon")),
            ["rope_scaling"] = GgufRotary.Scaling(file, Name, headDimension, Theta(file), file.Find(RotaryFactors)),
            ["rope_theta"] = Theta(file),
            ["tie_word_embeddings"] = file.Find("output.weight") is null,
            ["vocab_size"] = file.Find("token_embd.weight")?.Shape[0] ?? throw Missing(file, "the tensor token_embd.weight"),
        };
        return config;
    }

    private static double Theta(GgufFile file) => file.Metadata.FindNumber(Key("rope.freq_base")) ?? 10000;

    private static string Key(string name) => $"llama.{name}";

    private static void CheckVariant(GgufFile file, int headDimension)
    {
        (string Key, int Value)[] plain = [("attention.value_length", headDimension), ("rope.dimension_count", headDimension), ("expert_count", 0)];
        foreach (var (key, expected) in plain)
        {
            if (Integer(file, key) is { } value && value != expected)
            {
                throw new DistTuneException(
                    FaultKind.Configuration,
                    $"{file.Path}: {Key(key)} is {value}; only {expected} is supported here. {Convert}");
            }
        }
    }

    private static bool HasBias(GgufFile file, string[] parts)
    {
        var present = parts.Where(part => file.Find($"{BlockPrefix}0.{part}.bias") is not null).ToArray();
        return present.Length == 0 || present.Length == parts.Length
            ? present.Length > 0
            : throw FileFault.Of(
                file.Path,
                $"of {string.Join(", ", parts)} only {string.Join(", ", present)} have biases, which no llama model has",
                Convert);
    }

    private static bool TrySplitBlock(string stem, out int layer, out string part)
    {
        layer = 0;
        part = "";
        if (!stem.StartsWith(BlockPrefix, StringComparison.Ordinal))
        {
            return false;
        }

        var rest = stem[BlockPrefix.Length..];
        var dot = rest.IndexOf('.', StringComparison.Ordinal);
        part = dot < 0 ? "" : rest[(dot + 1)..];
        return dot > 0 && int.TryParse(rest.AsSpan(0, dot), NumberStyles.None, CultureInfo.InvariantCulture, out layer);
    }

    private static int KeyValueHeads(GgufFile file) =>
        Integer(file, "attention.head_count_kv") is not null ? Positive(file, "attention.head_count_kv") : Positive(file, "attention.head_count");

    private static int? Integer(GgufFile file, string key) => Integer(file.Metadata, Key(key));

    private static int? Integer(GgufMetadata metadata, string key) => metadata.FindInteger(key) is { } value
        ? value is >= 0 and <= int.MaxValue ? (int)value : throw metadata.OutOfRange(key, value)
        : null;

    private static int Positive(GgufFile file, string key)
    {
        var value = Integer(file, key) ?? throw Missing(file, $"the metadata {Key(key)}");
        return value > 0 ? value : throw file.Metadata.OutOfRange(Key(key), value);
    }

    private static DistTuneException Missing(GgufFile file, string what) => FileFault.Of(file.Path, $"it lacks {what}", GgufReader.FetchAgain);
}
