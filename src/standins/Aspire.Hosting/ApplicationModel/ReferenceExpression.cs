using System.Runtime.CompilerServices;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>An interpolated string whose holes are filled when the application runs.</summary>
public class ReferenceExpression : IManifestExpressionProvider, IValueProvider, IValueWithReferences
{
    private readonly IReadOnlyList<object> _parts;

    private ReferenceExpression(IReadOnlyList<object> parts) => _parts = parts;

    /// <inheritdoc />
    public string ValueExpression =>
        string.Concat(_parts.Select(part => part is IManifestExpressionProvider provider ? provider.ValueExpression : (string)part));

    IEnumerable<object> IValueWithReferences.References => _parts.Where(part => part is not string);

    /// <summary>Makes an expression of an interpolated string.</summary>
    public static ReferenceExpression Create(in ExpressionInterpolatedStringHandler handler) => new(handler.Parts);

    /// <inheritdoc />
    public async ValueTask<string?> GetValueAsync(CancellationToken cancellationToken)
    {
        var texts = new List<string?>(_parts.Count);
        foreach (var part in _parts)
        {
            texts.Add(part is IValueProvider provider ? await provider.GetValueAsync(cancellationToken) : (string)part);
        }

        return string.Concat(texts);
    }

    /// <summary>Collects the parts of an interpolated string; called by the compiler.</summary>
    [InterpolatedStringHandler]
    public struct ExpressionInterpolatedStringHandler
    {
        internal List<object> Parts { get; }

        /// <summary>Called by the compiler.</summary>
        public ExpressionInterpolatedStringHandler(int literalLength, int formattedCount) => Parts = new List<object>((2 * formattedCount) + 1);

        /// <summary>Called by the compiler.</summary>
        public readonly void AppendLiteral(string value) => Parts.Add(value);

        /// <summary>Called by the compiler.</summary>
        public readonly void AppendFormatted(string? value) => Parts.Add(value ?? "");

        /// <summary>Called by the compiler.</summary>
        public readonly void AppendFormatted<T>(T valueProvider)
            where T : IValueProvider, IManifestExpressionProvider => Parts.Add(valueProvider);
    }
}
