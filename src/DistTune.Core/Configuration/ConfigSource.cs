using System.Collections.Immutable;
using System.Text;
using DistTune.Core.Formats;

namespace DistTune.Core.Configuration;

/// <summary>YAML text with its name for messages and the folder that its paths are relative to.</summary>
/// <param name="Text">The YAML.</param>
/// <param name="Name">The file as the user named it.</param>
/// <param name="Folder">Full path.</param>
public sealed record ConfigSource(string Text, string Name, string Folder)
{
    private const long MaxBytes = 4 << 20;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads a file.</summary>
    /// <exception cref="DistTuneException">There is no such file, it cannot be read, it is too large, or not UTF-8.</exception>
    public static ConfigSource FromFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var file = new FileInfo(path);
        if (!file.Exists)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The configuration {path} does not exist. `disttune train {path} --init` writes one to start from.");
        }

        RegularFile.Check(path);
        if (file.Length > MaxBytes)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"{path} has {file.Length} bytes; a configuration has at most {MaxBytes}."));
        }

        try
        {
            return new ConfigSource(StrictUtf8.GetString(File.ReadAllBytes(path)).TrimStart('\uFEFF'), path, file.DirectoryName!);
        }
        catch (DecoderFallbackException error)
        {
            throw new DistTuneException(FaultKind.InvalidFile, FormattableString.Invariant($"{path} is not UTF-8 text (byte {error.Index}). Save it as UTF-8."), error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"{path} cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Parses, lays the overrides over, binds to the schema and checks; every fault of all of it is in one report.</summary>
    internal ResolvedSection Bind(
        ImmutableArray<ConfigKey> schema,
        IEnumerable<ConfigOverride> overrides,
        string currentFolder,
        Func<ResolvedSection, IEnumerable<ConfigurationFault>> check)
    {
        var origin = new ValueOrigin(OriginKind.File, Name, 1);
        var parsed = YamlText.Parse(Text, origin);
        if (parsed is ScalarNode { IsNull: true })
        {
            parsed = new MappingNode([], origin);
        }

        if (parsed is not MappingNode root)
        {
            throw new ConfigurationException([new(parsed.Origin, $"a configuration is keys with values (learning_rate: 2e-4), got {parsed.Shown}.")]);
        }

        var faults = new List<ConfigurationFault>();
        foreach (var item in overrides)
        {
            try
            {
                root = ConfigLayers.Apply(root, item, schema);
            }
            catch (ConfigurationException error)
            {
                faults.AddRange(error.Faults);
            }
        }

        var binder = new ConfigBinder(schema, Folder, currentFolder);
        var values = binder.Bind(root);
        faults.AddRange(binder.Faults);
        faults.AddRange(check(values));
        return faults.Count == 0 ? values : throw new ConfigurationException(faults);
    }
}
