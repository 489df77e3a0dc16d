using System.Collections.Immutable;

namespace DistTune.Core.Text;

/// <summary>The parts of a tokenizer, as read from a tokenizer.json or from GGUF metadata.</summary>
internal sealed record TokenizerDefinition
{
    public required Dictionary<string, int> Vocabulary { get; init; }

    /// <summary>Pairs of tokens in order of rank.</summary>
    public required IReadOnlyList<(string Left, string Right)> Merges { get; init; }

    public required BytePairOptions Options { get; init; }

    public ImmutableArray<AddedToken> AddedTokens { get; init; } = [];

    public INormalizer? Normalizer { get; init; }

    public IPreTokenizer? PreTokenizer { get; init; }

    public ITokenDecoder? Decoder { get; init; }

    /// <summary>Special tokens written before and after a text.</summary>
    public PostProcessing PostProcessing { get; init; } = PostProcessing.None;
}

/// <summary>What is done to the tokens of a text: special tokens around it, spaces taken from offsets.</summary>
internal sealed record PostProcessing(ImmutableArray<int> Before, ImmutableArray<int> After, bool TrimOffsets, bool AddPrefixSpace)
{
    internal static PostProcessing None { get; } = new([], [], false, false);
}

/// <summary>The roles that some special tokens have, by their text.</summary>
/// <param name="Bos">Begins a text.</param>
/// <param name="Eos">Ends a text or a turn.</param>
/// <param name="Pad">Fills rows up; never trained.</param>
/// <param name="Unknown">Stands for what cannot be written.</param>
/// <param name="Other">All further named tokens (<c>sep_token</c>, <c>cls_token</c>, …), by their name in tokenizer_config.json.</param>
public sealed record SpecialTokenNames(string? Bos, string? Eos, string? Pad, string? Unknown, ImmutableSortedDictionary<string, string> Other)
{
    /// <summary>No roles are known.</summary>
    public static SpecialTokenNames None { get; } = new(null, null, null, null, ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal));

    /// <summary>The roles as chat templates see them: <c>bos_token</c>, <c>eos_token</c> and so on; absent ones are left out.</summary>
    public IEnumerable<KeyValuePair<string, string>> Named()
    {
        (string Name, string? Content)[] roles = [("bos_token", Bos), ("eos_token", Eos), ("pad_token", Pad), ("unk_token", Unknown)];
        return roles.Where(role => role.Content is not null).Select(role => KeyValuePair.Create(role.Name, role.Content!)).Concat(Other);
    }
}
