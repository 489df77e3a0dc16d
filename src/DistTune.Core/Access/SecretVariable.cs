using System.Text;
using DistTune.Core.Formats;

namespace DistTune.Core.Access;

/// <summary>A secret out of an environment variable, or out of the file that the variable with <c>_FILE</c> behind its name names.</summary>
public static class SecretVariable
{
    private const long MostBytes = 64 << 10;

    /// <summary>Reads it.</summary>
    /// <param name="variable">The variable's name.</param>
    /// <param name="read">Reads a variable.</param>
    /// <returns>Null if neither variable is set.</returns>
    /// <exception cref="DistTuneException">The file cannot be read, is empty, or is too large to be a secret.</exception>
    public static string? Read(string variable, Func<string, string?> read)
    {
        ArgumentNullException.ThrowIfNull(read);
        if (read(variable) is { Length: > 0 } secret)
        {
            return secret;
        }

        return read(variable + "_FILE") is { Length: > 0 } path ? OfFile(variable, path) : null;
    }

    private static string OfFile(string variable, string path)
    {
        RegularFile.Check(path);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > MostBytes)
            {
                throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"The token file '{path}' that {variable}_FILE names has {stream.Length} bytes, and a token has at most {MostBytes}. Name the token's file."));
            }

            using var reader = new StreamReader(stream, Encoding.UTF8);
            return reader.ReadToEnd().Trim() is { Length: > 0 } text
                ? text
                : throw new DistTuneException(FaultKind.Configuration, $"The token file '{path}' that {variable}_FILE names is empty. Write the token into it.");
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The token file '{path}' that {variable}_FILE names cannot be read: {fault.Message}", fault);
        }
    }
}
