using System.Collections.Immutable;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace DistTune.Core.Configuration;

/// <summary>Reads YAML into nodes that know their line. Anchors, tags and several documents are refused: a run's configuration needs none.</summary>
internal static class YamlText
{
    private const int MaxLength = 1 << 20;
    private const int MaxDepth = 16;

    /// <summary>Reads a document; an empty one is an empty mapping.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="origin">Place of the first line; a file's lines are counted from there, other layers have none.</param>
    /// <exception cref="ConfigurationException">The text is not YAML, or uses what is refused.</exception>
    public static ConfigNode Parse(string text, ValueOrigin origin)
    {
        if (text.Length > MaxLength)
        {
            throw new ConfigurationException([new(origin, $"{text.Length} characters are more than a configuration may have ({MaxLength}).")]);
        }

        try
        {
            return new Reader(new Parser(new StringReader(text)), origin).Document();
        }
        catch (YamlException error)
        {
            throw new ConfigurationException([new(At(origin, error.Start), $"not valid YAML: {error.Message}")]);
        }
        catch (Exception error) when (error is ArgumentException or InvalidOperationException or IndexOutOfRangeException or FormatException or OverflowException)
        {
            // The library's scanner answers some broken text with its own slips.
            throw new ConfigurationException([new(origin, $"not valid YAML: {error.Message}")]);
        }
    }

    private static ValueOrigin At(ValueOrigin origin, Mark mark) =>
        origin.Kind is OriginKind.File ? origin with { Line = (int)mark.Line } : origin;

    private sealed class Reader(IParser parser, ValueOrigin origin)
    {
        public ConfigNode Document()
        {
            parser.Consume<StreamStart>();
            if (parser.TryConsume<StreamEnd>(out _))
            {
                return new MappingNode([], At(origin, new Mark(0, 1, 1)));
            }

            parser.Consume<DocumentStart>();
            var node = Node(0);
            parser.Consume<DocumentEnd>();
            return parser.Accept<DocumentStart>(out var second)
                ? throw Refused(second.Start, "a second document starts here; a configuration is one document. Remove the line '---'.")
                : node;
        }

        private ConfigNode Node(int depth)
        {
            if (depth > MaxDepth)
            {
                throw Refused(parser.Current!.Start, $"keys are nested deeper than {MaxDepth} levels.");
            }

            if (parser.Accept<AnchorAlias>(out var alias))
            {
                throw Refused(alias.Start, $"the alias *{alias.Value} is not supported; write the value out.");
            }

            if (parser.Accept<NodeEvent>(out var any) && (!any.Anchor.IsEmpty || !any.Tag.IsEmpty))
            {
                throw Refused(any.Start, "anchors (&name) and tags (!name) are not supported; write the plain value.");
            }

            if (parser.TryConsume<Scalar>(out var scalar))
            {
                return new ScalarNode(scalar.Value, scalar.Style is not ScalarStyle.Plain, At(origin, scalar.Start));
            }

            return parser.Accept<SequenceStart>(out _) ? Sequence(depth) : Mapping(depth);
        }

        private SequenceNode Sequence(int depth)
        {
            var start = parser.Consume<SequenceStart>();
            var items = ImmutableArray.CreateBuilder<ConfigNode>();
            while (!parser.TryConsume<SequenceEnd>(out _))
            {
                items.Add(Node(depth + 1));
            }

            return new SequenceNode(items.ToImmutable(), At(origin, start.Start));
        }

        private MappingNode Mapping(int depth)
        {
            var start = parser.Consume<MappingStart>();
            var entries = ImmutableArray.CreateBuilder<MappingEntry>();
            while (!parser.TryConsume<MappingEnd>(out _))
            {
                if (!parser.TryConsume<Scalar>(out var key))
                {
                    throw Refused(parser.Current!.Start, "a key must be a plain word.");
                }

                entries.Add(new MappingEntry(key.Value, At(origin, key.Start), Node(depth + 1)));
            }

            return new MappingNode(entries.ToImmutable(), At(origin, start.Start));
        }

        private ConfigurationException Refused(Mark mark, string message) => new([new(At(origin, mark), message)]);
    }
}
