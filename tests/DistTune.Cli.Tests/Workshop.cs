using DistTune.Cli;

namespace DistTune.Cli.Tests;

/// <summary>
/// A folder with a tiny base that the product itself trained, and rows to fine-tune it on; made once for all tests.
/// </summary>
public sealed class Workshop : IAsyncLifetime
{
    private const string Recipe = """
        corpus: corpus.txt
        tokenizer:
          vocabulary_size: 300
          special_tokens: ["<|end|>", "<|user|>", "<|assistant|>"]
          eos_token: "<|end|>"
          chat_template: template.jinja
        architecture:
          hidden_size: 32
          intermediate_size: 64
          num_hidden_layers: 2
          num_attention_heads: 4
          num_key_value_heads: 2
          max_position_embeddings: 128
        sequence_len: 32
        max_steps: 3
        val_set_size: 2
        output_dir: base
        """;

    private const string Run = """
        base_model: base
        datasets: [{path: rows.jsonl}]
        val_set_size: 3
        output_dir: out
        lora_r: 4
        micro_batch_size: 2
        gradient_accumulation_steps: 3
        learning_rate: 5e-3
        max_new_tokens: 4
        sample_prompts: [Arpa?]
        """;

    private const string Template =
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("disttune-cli-");

    /// <summary>The run's configuration.</summary>
    public string RunFile => PathOf("run.yaml");

    /// <summary>A file or folder of the workshop.</summary>
    public string PathOf(string name) => Path.Combine(_folder.FullName, name);

    /// <summary>Runs a command line in this process.</summary>
    internal static async Task<(int ExitCode, string Output, string Error)> Disttune(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exitCode = await CommandLine.RunAsync(args, output, error);
        return (exitCode, output.ToString(), error.ToString());
    }

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        string[] crops = ["Buğday", "Arpa", "Mısır", "Domates", "Biber", "Zeytin", "Üzüm", "Elma", "Kayısı", "Fındık", "Çay", "Pamuk"];
        await File.WriteAllTextAsync(PathOf("template.jinja"), Template);
        await File.WriteAllTextAsync(PathOf("corpus.txt"), string.Join("\n\n", crops.Select(crop => $"{crop} ekilir, sulanır, gübrelenir ve hasat edilir. {crop} iyi toprak ister.")));
        await File.WriteAllTextAsync(PathOf("rows.jsonl"), string.Concat(crops.Select(crop =>
            $$"""{"messages": [{"role": "user", "content": "{{crop}} ne ister?"}, {"role": "assistant", "content": "{{crop}} iyi toprak ister."}]}""" + "\n")));
        await File.WriteAllTextAsync(PathOf("recipe.yaml"), Recipe);
        await File.WriteAllTextAsync(RunFile, Run);
        var (exitCode, _, error) = await Disttune("pretrain", PathOf("recipe.yaml"), "--threads", "1");
        Assert.True(exitCode == 0, error);
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync()
    {
        _folder.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }
}
