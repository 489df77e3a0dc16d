using System.Collections.Frozen;
using System.Collections.Immutable;
using DistTune.Core.Formats;

namespace DistTune.Core.Merging;

/// <summary>
/// A base's weights with an adapter in them, each computed in double precision when it is read: nothing but the tensor at hand is in
/// memory besides the adapter. A head that is tied to an embedding that changes becomes a weight of its own.
/// </summary>
public sealed class MergedWeights : IWeightSource
{
    private const string EmbeddingName = "model.embed_tokens.weight";
    private const string HeadName = "lm_head.weight";
    private readonly IWeightSource _base;
    private readonly AdapterFolder _adapter;
    private readonly FrozenDictionary<string, AdaptedModule> _modules;
    private readonly FrozenDictionary<string, AdaptedModule> _biases;
    private readonly FrozenDictionary<string, WeightInfo> _weights;

    /// <summary>Puts an adapter on a base and checks that every part of it has its place there.</summary>
    /// <param name="source">The base; not disposed of.</param>
    /// <param name="tied">Whether the base's head is its embedding.</param>
    /// <param name="adapter">The adapter.</param>
    /// <exception cref="DistTuneException">A part of the adapter fits no weight of the base; the message lists them.</exception>
    public MergedWeights(IWeightSource source, bool tied, AdapterFolder adapter)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(adapter);
        _base = source;
        _adapter = adapter;
        _modules = adapter.Modules.ToFrozenDictionary(module => module.WeightName, StringComparer.Ordinal);
        _biases = adapter.Modules.Where(module => module.BiasOfB is not null).ToFrozenDictionary(BiasName, StringComparer.Ordinal);
        HeadUntied = tied && Unties(adapter);
        var weights = source.Weights.Where(weight => !(tied && weight.Name == HeadName)).ToList();
        if (HeadUntied)
        {
            weights.Add(source.Find(EmbeddingName)! with { Name = HeadName });
        }

        _weights = weights.ToFrozenDictionary(weight => weight.Name, StringComparer.Ordinal);
        Weights = [.. weights.OrderBy(weight => weight.Name, StringComparer.Ordinal)];
        CheckPlaces(tied && !HeadUntied);
    }

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights { get; }

    /// <summary>Whether the head was tied in the base and has to be a weight of its own now.</summary>
    public bool HeadUntied { get; }

    /// <summary>Whether the adapter changes a weight.</summary>
    public bool Changes(string name) => _modules.ContainsKey(name) || _biases.ContainsKey(name) || _adapter.Replaced.ContainsKey(name) || _adapter.BaseWeights.ContainsKey(name);

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _weights.GetValueOrDefault(name);

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination)
    {
        var info = Info(name);
        if (info.Length != destination.Length)
        {
            throw new ArgumentException($"'{name}' has length {info.Length}; the destination has {destination.Length}.", nameof(destination));
        }

        if (_adapter.Replaced.TryGetValue(name, out var replaced) || _adapter.BaseWeights.TryGetValue(name, out replaced))
        {
            replaced.Values.CopyTo(destination);
        }
        else
        {
            _base.ReadFloat32(Stored(name), destination);
        }

        if (_modules.TryGetValue(name, out var module))
        {
            WeightUpdate.Apply(module, destination);
        }
        else if (_biases.TryGetValue(name, out module))
        {
            for (var i = 0; i < destination.Length; i++)
            {
                destination[i] = (float)(destination[i] + (module.Scale * module.BiasOfB![i]));
            }
        }
    }

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination)
    {
        if (!Changes(name))
        {
            _base.ReadRaw(Stored(name), destination);
            return;
        }

        var info = Info(name);
        var values = new float[info.Length];
        ReadFloat32(name, values);
        using var stream = new MemoryStream(checked((int)(info.Length * WeightConversion.SizeOf(info.Type))));
        WeightConversion.Write(stream, values, info.Type);
        if (stream.Length != destination.Length)
        {
            throw new ArgumentException($"'{name}' has {stream.Length} bytes; the destination has {destination.Length}.", nameof(destination));
        }

        stream.GetBuffer().AsSpan(0, destination.Length).CopyTo(destination);
    }

    /// <summary>Does nothing: the base is its owner's.</summary>
    public void Dispose()
    {
    }

    private static bool Unties(AdapterFolder adapter)
    {
        var factors = adapter.Modules.Any(module => module.WeightName is EmbeddingName or HeadName);
        var embedding = adapter.Replaced.GetValueOrDefault(EmbeddingName);
        var head = adapter.Replaced.GetValueOrDefault(HeadName);
        return factors || embedding is null != head is null || (embedding is not null && !embedding.Values.AsSpan().SequenceEqual(head!.Values));
    }

    private string Stored(string name) => HeadUntied && name == HeadName ? EmbeddingName : name;

    private WeightInfo Info(string name) => Find(name)
        ?? throw new DistTuneException(FaultKind.InvalidFile, $"There is no weight '{name}' in the merged model. Check that the base belongs to the adapter.");

    private void CheckPlaces(bool headStaysTied)
    {
        var faults = new List<string>();
        foreach (var module in _adapter.Modules)
        {
            Check(module.WeightName, module.WeightShape, faults);
            if (module.BiasOfB is { Length: var length } && Find(BiasName(module)) is not null)
            {
                Check(BiasName(module), [length], faults);
            }
        }

        foreach (var (name, tensor) in _adapter.Replaced.Concat(_adapter.BaseWeights).Where(pair => !(headStaysTied && pair.Key == HeadName)))
        {
            Check(name, tensor.Shape, faults);
        }

        if (faults.Count > 0)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"{_adapter.Origin}: {faults.Count} of its tensors have no place in the base ({Listing.Of(faults)}). Use the adapter's own base model.");
        }

        if (_adapter.Modules.Where(module => module.BiasOfB is not null && Find(BiasName(module)) is null).ToArray() is { Length: > 0 } unplaced)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"{_adapter.Origin} was trained with lora_bias, and {unplaced.Length} of its modules, such as {unplaced[0].Name}, have no bias in the base that this could be added to. Keep adapter and base apart, or train with lora_bias: false.");
        }
    }

    private static string BiasName(AdaptedModule module) => $"{module.Name}.bias";

    private void Check(string name, ImmutableArray<long> shape, List<string> faults)
    {
        if (Find(name) is not { } found)
        {
            faults.Add($"no weight {name}");
        }
        else if (!found.Shape.SequenceEqual(shape))
        {
            faults.Add($"{name} has shape [{string.Join(", ", found.Shape)}], not [{string.Join(", ", shape)}]");
        }
    }
}
