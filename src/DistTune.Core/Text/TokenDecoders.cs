using System.Globalization;
using System.Text;

namespace DistTune.Core.Text;

/// <summary>One step from tokens back to text.</summary>
internal interface ITokenDecoder
{
    List<string> Apply(List<string> tokens);
}

internal sealed class SequenceDecoder(IReadOnlyList<ITokenDecoder> parts) : ITokenDecoder
{
    public List<string> Apply(List<string> tokens) => parts.Aggregate(tokens, (current, part) => part.Apply(current));
}

/// <summary>Characters of the byte alphabet back to bytes; what is not UTF-8 becomes U+FFFD.</summary>
internal sealed class ByteLevelDecoder : ITokenDecoder
{
    public List<string> Apply(List<string> tokens)
    {
        var bytes = new List<byte>(tokens.Count * 4);
        foreach (var token in tokens)
        {
            AppendBytes(token, bytes);
        }

        return [Encoding.UTF8.GetString(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes))];
    }

    /// <summary>The bytes of one token; a token with a character outside the alphabet (an added token) stands for its own text.</summary>
    internal static void AppendBytes(string token, List<byte> bytes)
    {
        if (!ByteAlphabet.TryDecode(token, bytes))
        {
            bytes.AddRange(Encoding.UTF8.GetBytes(token));
        }
    }
}

internal sealed class ReplaceDecoder(string pattern, string content) : ITokenDecoder
{
    public List<string> Apply(List<string> tokens) => tokens.ConvertAll(token => token.Replace(pattern, content, StringComparison.Ordinal));
}

/// <summary>Runs of tokens like &lt;0x41&gt; back to text; a run that is not UTF-8 becomes one U+FFFD a byte.</summary>
internal sealed class ByteFallbackDecoder : ITokenDecoder
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public List<string> Apply(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        var run = new List<byte>();
        foreach (var token in tokens)
        {
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
                && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value))
            {
                run.Add(value);
                continue;
            }

            Flush(run, result);
            result.Add(token);
        }

        Flush(run, result);
        return result;
    }

    private static void Flush(List<byte> run, List<string> result)
    {
        if (run.Count == 0)
        {
            return;
        }

        try
        {
            result.Add(Strict.GetString(run.ToArray()));
        }
        catch (DecoderFallbackException)
        {
            result.Add(new string('\uFFFD', run.Count));
        }

        run.Clear();
    }
}

internal sealed class FuseDecoder : ITokenDecoder
{
    public List<string> Apply(List<string> tokens) => [string.Concat(tokens)];
}

/// <summary>Takes up to <paramref name="start"/> and <paramref name="stop"/> of a character from the ends of each token.</summary>
internal sealed class StripDecoder(char content, int start, int stop) : ITokenDecoder
{
    public List<string> Apply(List<string> tokens) => tokens.ConvertAll(token =>
    {
        var (first, last) = (0, token.Length);
        while (first < last && first < start && token[first] == content)
        {
            first++;
        }

        while (last > first && token.Length - last < stop && token[last - 1] == content)
        {
            last--;
        }

        return token[first..last];
    });
}
