using DistTune.Core;
using DistTune.Core.Formats;

namespace DistTune.Cli.Verbs;

/// <summary>The configuration that <c>train --init</c> writes.</summary>
internal static class StarterConfig
{
    private const string Text =
        """
        # A LoRA fine-tuning run. Paths are relative to this file. All keys: disttune inspect config --keys
        base_model: ./model              # Hugging Face folder or GGUF file
        adapter: lora
        lora_r: 8
        lora_alpha: 16
        lora_target_modules: all-linear  # or a list, such as [q_proj, v_proj]

        # A row of chat_template: {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
        # A row of alpaca:        {"instruction": "...", "input": "...", "output": "..."}
        datasets:
          - {path: train.jsonl, type: chat_template}
        val_set_size: 0.05               # share of the rows that is held out
        sequence_len: 2048

        micro_batch_size: 2              # rows that are computed together
        gradient_accumulation_steps: 4   # such groups in a step; workers share them
        num_epochs: 1
        learning_rate: 2e-4
        lr_scheduler: cosine
        warmup_ratio: 0.03
        seed: 3407
        output_dir: ./outputs/run

        """;

    /// <summary>Writes the file; never over another.</summary>
    /// <exception cref="DistTuneException">The file exists.</exception>
    public static void Write(string path)
    {
        if (File.Exists(path))
        {
            throw new DistTuneException(FaultKind.Configuration, $"{path} exists and is not overwritten. Name another file.");
        }

        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
        {
            Directory.CreateDirectory(folder);
        }

        AtomicFile.WriteText(path, Text);
    }
}
