namespace Aspire.Hosting.ApplicationModel;

/// <summary>A value that is only known when the application runs, such as a port.</summary>
public interface IValueProvider
{
    /// <summary>The value.</summary>
    ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default);
}

/// <summary>A value with a placeholder for a deployment's manifest.</summary>
public interface IManifestExpressionProvider
{
    /// <summary>The placeholder.</summary>
    string ValueExpression { get; }
}

/// <summary>A value made of others.</summary>
public interface IValueWithReferences
{
    /// <summary>The others.</summary>
    IEnumerable<object> References { get; }
}
