using System.Globalization;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Running;
using Microsoft.Extensions.DependencyInjection;

namespace DistTune.Hosting.Tests;

/// <summary>An application of small child programs, run in the test's own process; its output is kept.</summary>
internal sealed class AppHostRun : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly Lines _lines = new();
    private DistributedApplication? _app;

    public AppHostRun() => Builder.Services.AddSingleton(new Output(_lines));

    public IDistributedApplicationBuilder Builder { get; } = DistributedApplication.CreateBuilder([]);

    public string Text => _lines.ToString();

    public IResourceBuilder<ProjectResource> AddChild(string name, params string[] arguments) =>
        Builder.AddProject(name, "../DistTune.Hosting.Child/DistTune.Hosting.Child.csproj").WithArgs(arguments);

    public async Task StartAsync()
    {
        _app = Builder.Build();
        await _app.StartAsync(TestContext.Current.CancellationToken);
    }

    public Task StopAsync() => _app!.StopAsync(CancellationToken.None);

    /// <summary>Waits for a line that holds a text, and returns the line.</summary>
    public Task<string> LineAsync(string text) => _lines.FindAsync(text).WaitAsync(Patience, TestContext.Current.CancellationToken);

    /// <summary>The process ids that a child printed.</summary>
    public async Task<int[]> ProcessIdsAsync(string name)
    {
        var line = await LineAsync($"{name} | pids ");
        return [.. line[(line.IndexOf("pids ", StringComparison.Ordinal) + 5)..].Split(' ').Select(id => int.Parse(id, CultureInfo.InvariantCulture))];
    }

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
        {
            await _app.StopAsync(CancellationToken.None);
            await _app.DisposeAsync();
        }
    }

    private sealed class Lines : StringWriter
    {
        private readonly Lock _gate = new();
        private readonly List<string> _lines = [];
        private readonly List<(string Text, TaskCompletionSource<string> Found)> _waiting = [];

        public override void WriteLine(string? value)
        {
            lock (_gate)
            {
                _lines.Add(value!);
                foreach (var (_, found) in _waiting.Where(entry => value!.Contains(entry.Text, StringComparison.Ordinal)))
                {
                    found.TrySetResult(value!);
                }
            }
        }

        public Task<string> FindAsync(string text)
        {
            lock (_gate)
            {
                var found = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
                _waiting.Add((text, found));
                if (_lines.Find(line => line.Contains(text, StringComparison.Ordinal)) is { } line)
                {
                    found.SetResult(line);
                }

                return found.Task;
            }
        }

        public override string ToString()
        {
            lock (_gate)
            {
                return string.Join('\n', _lines);
            }
        }
    }
}
