using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Planning;

/// <summary>A folder with a tiny base (its weights are zeros), its tokenizer, and rows.</summary>
internal sealed class TinyBase : IDisposable
{
    private static readonly string[] Crops = ["Buğday", "Arpa", "Mısır", "Domates", "Biber", "Zeytin", "Üzüm"];

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("disttune-plan-");

    /// <param name="missingTokens">How many more embeddings than tokens the base has; negative for fewer.</param>
    /// <param name="positions">Longest sequence of the base.</param>
    public TinyBase(int missingTokens = 0, int positions = 128)
    {
        var model = Directory.CreateDirectory(Path.Combine(Folder, "model")).FullName;
        var tokenizer = BpeTrainer.Train(
            Crops.Select(crop => $"{crop} iyi toprak ister."),
            new BpeTrainerSettings(280, ["<|end|>", "<|user|>", "<|assistant|>"])
            {
                Eos = "<|end|>",
                ChatTemplate = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
            });
        tokenizer.Write(model);
        var vocabulary = tokenizer.ToTokenizer().VocabularySize + missingTokens;
        File.WriteAllText(Path.Combine(model, "config.json"), FormattableString.Invariant($$"""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {{vocabulary}}, "hidden_size": 8, "intermediate_size": 16,
             "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": {{positions}},
             "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true, "eos_token_id": 0}
            """));
        var weights = ModelFamilies.Describe(model).Weights.Select(weight => new WeightInfo(weight.Name, WeightType.Float32, weight.Shape));
        SafetensorsWriter.Write(Path.Combine(model, "model.safetensors"), weights, (weight, stream) => SafetensorsWriter.WriteValues(stream, new float[weight.Length], weight.Type));
        WriteRows("rows.jsonl", Crops.Select(crop => (crop + " ne ister?", crop + " iyi toprak ister.")));
    }

    public string Folder => _folder.FullName;

    public void WriteRows(string name, IEnumerable<(string Question, string Answer)> rows) => File.WriteAllText(
        Path.Combine(Folder, name),
        string.Concat(rows.Select(row => $$"""{"messages": [{"role": "user", "content": "{{row.Question}}"}, {"role": "assistant", "content": "{{row.Answer}}"}]}""" + "\n")));

    public void Dispose() => _folder.Delete(recursive: true);
}
