using DistTune.Core.Text;

namespace DistTune.Goldens.Text;

/// <summary>Small templates with a context and their output, or the error they end in.</summary>
public sealed class JinjaGolden : IGoldenKind
{
    /// <summary>Errors of Jinja itself, whose messages must be equal; of Python's own only the fact counts.</summary>
    private static readonly string[] Worded = ["TemplateError", "UndefinedError", "TemplateSyntaxError"];

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) => TextCase.FilesWith(folder, "template", "context").Select(file => GoldenCase.OfFile(file));

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        foreach (var record in TextCase.Records(golden.Path))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var name = record.TryGetProperty("name", out var given) ? given.ToString() : record.Text("template");
            var error = TextCase.Fields(record, "error");
            try
            {
                var text = ChatTemplate.Parse(record.Text("template")).Render(TextCase.Fields(record, "context")).Text;
                meter.Equal($"{name}: output", text, error.Count > 0 ? "an error" : record.Text("output"));
            }
            catch (TemplateException fault)
            {
                var same = error.Count > 0 && (!Worded.Contains(error["type"].GetString(), StringComparer.Ordinal)
                    || (error["type"].GetString() == fault.ErrorType && error["message"].GetString() == fault.Reason));
                meter.Equal($"{name}: {fault.ErrorType} {fault.Reason}", same, true);
            }
        }

        return Task.CompletedTask;
    }
}
