using System.Diagnostics;
using System.Text;
using Aspire.Hosting.Running;

namespace DistTune.Hosting.Tests;

/// <summary>The app host as a process, on a tiny model and a few rows in a folder of its own.</summary>
internal sealed class Launch : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(180);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("disttune-launch-");
    private readonly StringBuilder _output = new();
    private readonly SemaphoreSlim _news = new(0);
    private Process? _process;

    public int ProcessId => _process!.Id;

    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    public string OutputFolder => Path.Combine(_folder.FullName, "out");

    /// <summary>Writes the run and starts the app host.</summary>
    public void Start(int epochs, params (string Name, string Value)[] environment)
    {
        var model = _folder.CreateSubdirectory("base").FullName;
        foreach (var file in new[] { "models/llama-tiny/config.json", "models/llama-tiny/model.safetensors", "tokenizers/bpe512/tokenizer.json", "tokenizers/bpe512/tokenizer_config.json" })
        {
            File.Copy(Repository.PathOf("tests", "golden", file), Path.Combine(model, Path.GetFileName(file)));
        }

        File.WriteAllLines(Path.Combine(_folder.FullName, "train.jsonl"), Enumerable.Range(0, 32).Select(number =>
            $$"""{"messages": [{"role": "user", "content": "how much is {{number}} and {{number}}?"}, {"role": "assistant", "content": "it is {{2 * number}}."}]}"""));
        File.WriteAllText(Path.Combine(_folder.FullName, "run.yaml"), $$"""
            base_model: ./base
            adapter: lora
            lora_r: 4
            lora_alpha: 8
            lora_target_modules: all-linear
            datasets: [{path: train.jsonl, type: chat_template}]
            val_set_size: 0.25
            sequence_len: 128
            micro_batch_size: 2
            gradient_accumulation_steps: 4
            num_epochs: {{epochs}}
            learning_rate: 1e-3
            bf16: false
            generate_samples: false
            output_dir: ./out
            """);

        var start = new ProcessStartInfo(
            BuildOutput.DotnetPath, [Path.Combine(Repository.OutputOf("DistTune.AppHost"), "DistTune.AppHost.dll"), Path.Combine(_folder.FullName, "run.yaml"), "--workers", "2"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => Take(line.Data);
        _process.ErrorDataReceived += (_, line) => Take(line.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Waits until a text was printed.</summary>
    public async Task PrintsAsync(string text)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        deadline.CancelAfter(Patience);
        while (!Output.Contains(text, StringComparison.Ordinal))
        {
            Assert.False(_process!.HasExited, $"The app host ended before it printed '{text}':\n{Output}");
            await _news.WaitAsync(deadline.Token);
        }
    }

    /// <summary>Waits for the end, and returns the exit code.</summary>
    public async Task<int> EndsAsync()
    {
        await _process!.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        _process?.Dispose();
        _folder.Delete(recursive: true);
    }

    private void Take(string? line)
    {
        lock (_output)
        {
            _output.AppendLine(line);
        }

        _news.Release();
    }
}
