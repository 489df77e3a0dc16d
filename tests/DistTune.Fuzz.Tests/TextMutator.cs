using System.Text;
using System.Text.RegularExpressions;

namespace DistTune.Fuzz.Tests;

/// <summary>
/// Changes text by its tokens, so that most results are still well formed and reach beyond the parser: values become others, parts are
/// dropped, repeated, nested or swapped; now and then bytes that are no text.
/// </summary>
/// <param name="words">The format's own words, which random text would never hit.</param>
internal sealed partial class TextMutator(params string[] words)
{
    private static readonly string[] Values =
    [
        "0", "-1", "1", "2", "-0", "0.5", "1e308", "1e999", "-1e-400", "NaN", "2147483647", "2147483648", "-2147483649", "4294967296",
        "9007199254740993", "9223372036854775807", "9223372036854775808", "1e19", "99999999999999999999999999999999999999", "null", "true", "false",
        "[]", "{}", "[[]]", "\"\"", "\"\\ud800\"", "\"\\u0000\"", "\"../../etc/passwd\"", "\"/dev/zero\"", "\"https://example.invalid/x\"", "\"ıİ\"",
        "{\"a\":{\"a\":{\"a\":[]}}}",
    ];

    public byte[] Mutate(Random random, byte[] content)
    {
        var tokens = Token().Matches(Encoding.UTF8.GetString(content)).Select(match => match.Value).ToList();
        for (var round = random.Next(1, 6); round > 0 && tokens.Count > 0; round--)
        {
            Once(random, tokens);
        }

        var bytes = Encoding.UTF8.GetBytes(string.Concat(tokens));
        return random.Next(8) == 0 ? ByteMutator.Mutate(random, bytes) : bytes;
    }

    [GeneratedRegex("""\s+|"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|\w+|.""", RegexOptions.Singleline | RegexOptions.CultureInvariant)]
    private static partial Regex Token();

    private void Once(Random random, List<string> tokens)
    {
        var at = random.Next(tokens.Count);
        var length = Math.Min(random.Next(1, 12), tokens.Count - at);
        switch (random.Next(12))
        {
            case 0 or 1 or 2:
                var value = NextValue(random, tokens, at);
                tokens[value] = Values[random.Next(Values.Length)];
                break;
            case 3 or 4:
                tokens[NextValue(random, tokens, at)] = words.Length > 0 ? words[random.Next(words.Length)] : "\"x\"";
                break;
            case 5:
                tokens.RemoveRange(at, length);
                break;
            case 6:
                tokens.InsertRange(at, tokens.GetRange(at, length));
                break;
            case 7:
                tokens.InsertRange(at, Enumerable.Repeat(tokens.GetRange(at, length), random.Next(2, 300)).SelectMany(part => part).ToList());
                break;
            case 8:
                tokens.RemoveRange(at, tokens.Count - at);
                break;
            case 9:
                Nest(random, tokens, at);
                break;
            case 10:
                var other = random.Next(tokens.Count);
                (tokens[at], tokens[other]) = (tokens[other], tokens[at]);
                break;
            default:
                tokens.Insert(at, words.Length > 0 ? words[random.Next(words.Length)] : new string('a', random.Next(1, 5000)));
                break;
        }
    }

    // The nearest token from here on that is a value: a number, a string or a word.
    private static int NextValue(Random random, List<string> tokens, int at)
    {
        var skip = random.Next(3);
        for (var i = at; i < tokens.Count; i++)
        {
            if ((char.IsLetterOrDigit(tokens[i][0]) || tokens[i][0] is '"' or '-') && skip-- == 0)
            {
                return i;
            }
        }

        return at;
    }

    private static void Nest(Random random, List<string> tokens, int at)
    {
        var depth = random.Next(4) == 0 ? random.Next(1000, 20_000) : random.Next(1, 100);
        var (open, close) = random.Next(4) switch { 0 => ("[", "]"), 1 => ("{\"a\":", "}"), 2 => ("(", ")"), _ => ("-", "") };
        tokens[at] = string.Concat(Enumerable.Repeat(open, depth)) + tokens[at] + string.Concat(Enumerable.Repeat(close, depth));
    }
}
