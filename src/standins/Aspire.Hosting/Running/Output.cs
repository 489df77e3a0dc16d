namespace Aspire.Hosting.Running;

/// <summary>Prints the lines of all resources, each with the resource's name in front; in colour on a terminal.</summary>
internal sealed class Output(TextWriter writer)
{
    private static readonly string[] Colours = ["\u001b[36m", "\u001b[33m", "\u001b[32m", "\u001b[35m", "\u001b[34m", "\u001b[31m"];
    private const string Plain = "\u001b[0m";

    private readonly Lock _gate = new();
    private readonly bool _coloured = ReferenceEquals(writer, Console.Out) && !Console.IsOutputRedirected
        && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
    private readonly Dictionary<string, string> _colourOf = new(StringComparer.Ordinal);
    private int _width;

    /// <summary>Announces a resource, so that names can be aligned.</summary>
    public void Announce(string name)
    {
        lock (_gate)
        {
            _colourOf[name] = Colours[_colourOf.Count % Colours.Length];
            _width = Math.Max(_width, name.Length);
        }
    }

    /// <summary>Prints a line.</summary>
    public void Write(string name, string line)
    {
        lock (_gate)
        {
            var prefix = name.PadRight(_width) + " |";
            writer.WriteLine(_coloured && _colourOf.TryGetValue(name, out var colour) ? $"{colour}{prefix}{Plain} {line}" : $"{prefix} {line}");
        }
    }
}
