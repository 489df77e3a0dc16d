using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Data;

/// <summary>What one row of a data set says, before it is tokenised.</summary>
public abstract record Example;

/// <summary>A conversation; the last assistant turn is the answer.</summary>
/// <param name="Messages">Messages as JSON objects with <c>role</c> and <c>content</c>.</param>
/// <param name="Tools">The tools the assistant may call, as JSON; null if there are none.</param>
/// <param name="Variables">Further variables of the chat template.</param>
public sealed record ChatExample(ImmutableArray<JsonElement> Messages, JsonElement? Tools, ImmutableDictionary<string, JsonElement> Variables) : Example;

/// <summary>A text that is trained as a whole.</summary>
public sealed record TextExample(string Text) : Example;

/// <summary>Reads the rows of one layout.</summary>
public interface IDatasetFormat
{
    /// <summary>Its name in <c>datasets: [{type: …}]</c>.</summary>
    string Name { get; }

    /// <summary>What a row says.</summary>
    /// <exception cref="DistTuneException">A field is missing or has the wrong type; the message names file and line.</exception>
    Example Read(JsonLine row);
}
