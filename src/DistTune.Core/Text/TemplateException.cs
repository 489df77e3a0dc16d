namespace DistTune.Core.Text;

/// <summary>A chat template that cannot be parsed, that refuses a conversation, or that fails while it renders.</summary>
public sealed class TemplateException : DistTuneException
{
    /// <summary>Creates a template fault.</summary>
    /// <param name="errorType">The fault's name in Jinja or Python.</param>
    /// <param name="reason">What went wrong, without the place.</param>
    /// <param name="line">Line of the template, from 1; 0 where it is not known.</param>
    public TemplateException(string errorType, string reason, int line = 0)
        : base(FaultKind.Configuration, line > 0
            ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"The chat template fails at line {line}: {reason} ({errorType})")
            : $"The chat template fails: {reason} ({errorType})")
    {
        ErrorType = errorType;
        Reason = reason;
        Line = line;
    }

    /// <summary>Name of the fault as Jinja or Python has it: <c>TemplateError</c> (raised by the template itself), <c>TemplateSyntaxError</c>, <c>UndefinedError</c>, <c>TypeError</c>, …</summary>
    public string ErrorType { get; }

    /// <summary>What went wrong, without the place.</summary>
    public string Reason { get; }

    /// <summary>Line of the template, from 1; 0 where it is not known.</summary>
    public int Line { get; }
}
