using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Memory;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Quantization;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling;

/// <summary>How the frozen base is stored.</summary>
public enum BasePrecision
{
    /// <summary>IEEE single precision.</summary>
    Float32,

    /// <summary>bfloat16, half the memory.</summary>
    BFloat16,
}

/// <summary>
/// A base model on one device: what every lane shares. Its weights are stored once, never change and never carry a gradient.
/// </summary>
/// <remarks>
/// A bfloat16 base computes in fp32 on a CPU (each weight is widened for the one product that reads it, which costs a few percent
/// and keeps the activations exact) and in bfloat16 on CUDA.
/// </remarks>
public sealed class BaseModel : IDisposable
{
    private readonly DecoderModules? _modules;
    private readonly ImmutableArray<Tensor> _owned;

    // Before the first tensor, whichever way a base is made.
    static BaseModel() => NativeHeap.MapLargeTensors();

    private BaseModel(DecoderSpec spec, Device device, ScalarType computeType, DecoderModules? modules, ImmutableArray<Tensor> owned)
    {
        Spec = spec;
        Device = device;
        ComputeType = computeType;
        Rotary = new RotaryTable(spec.Rotary);
        LocalRotary = spec.LocalRotary is { } local ? new RotaryTable(local) : Rotary;
        _modules = modules;
        _owned = owned;
    }

    /// <summary>What the base is.</summary>
    public DecoderSpec Spec { get; }

    /// <summary>Bytes of the frozen weights.</summary>
    public long SizeBytes => _owned.Sum(tensor => tensor.NumberOfElements * tensor.ElementSize);

    /// <summary>Where it lies.</summary>
    internal Device Device { get; }

    /// <summary>Type of the activations.</summary>
    internal ScalarType ComputeType { get; }

    /// <summary>Rotary angles of layers that see everything.</summary>
    internal RotaryTable Rotary { get; }

    /// <summary>Rotary angles of layers with a window; the same table where they don't differ.</summary>
    internal RotaryTable LocalRotary { get; }

    /// <summary>The arithmetic.</summary>
    internal IKernels Kernels { get; } = new TorchKernels();

    /// <summary>The frozen modules.</summary>
    internal DecoderModules Modules => _modules
        ?? throw new DistTuneException(FaultKind.Failed, "This base was made without weights, for training all of them; it has none of its own to compute with.");

    /// <summary>Loads the frozen weights.</summary>
    /// <param name="weights">The files; no longer needed afterwards.</param>
    /// <param name="spec">What the base is.</param>
    /// <param name="precision">How to store it.</param>
    /// <param name="device">A torch device, such as <c>cpu</c> or <c>cuda:0</c>.</param>
    /// <param name="keepsFourBit">Whether what the files hold in four bits stays so; otherwise it is restored once.</param>
    /// <exception cref="DistTuneException">A weight is missing, misshapen, or has no place in the base; the message names it.</exception>
    public static BaseModel Load(IWeightSource weights, DecoderSpec spec, BasePrecision precision = BasePrecision.Float32, string device = "cpu", bool keepsFourBit = false)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(spec);
        StoredWeights.Check(weights, spec);
        var target = torch.device(device);
        var storage = precision == BasePrecision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;
        var (modules, owned) = new ModuleBuilder(spec, storage, target, new StoredWeights(weights, keepsFourBit)).Build();
        var compute = target.type == DeviceType.CPU ? ScalarType.Float32 : storage;
        return new BaseModel(spec, target, compute, modules, owned);
    }

    /// <summary>Loads the frozen weights of a model on disk, in four bits where a run wants that.</summary>
    /// <param name="path">A model folder or a GGUF file.</param>
    /// <param name="sha256">Its hash, as <see cref="ModelHash"/> makes it.</param>
    /// <param name="spec">What the base is.</param>
    /// <param name="precision">How to store what is not held in four bits.</param>
    /// <param name="quantization">How to hold the layers' linear modules in four bits; null holds them as all else.</param>
    /// <param name="change">What the run's start makes of the base before; null leaves it as it is.</param>
    /// <exception cref="DistTuneException">A weight is missing, misshapen, or has no place in the base; the message names it.</exception>
    public static BaseModel Open(
        string path,
        string sha256,
        DecoderSpec spec,
        BasePrecision precision,
        FourBitSettings? quantization,
        BaseChange? change = null)
    {
        if (quantization is not null)
        {
            using var quantized = QuantizedBase.Open(path, sha256, spec, quantization, change: change);
            // Quantising leaves arrays as large as weights behind; nothing else would make the collector give them back before the base is loaded.
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            return Load(quantized, spec, precision, keepsFourBit: true);
        }

        using var weights = WeightSources.Open(path);
        using var changed = change?.Apply(weights);
        return Load(changed ?? weights, spec, precision);
    }

    /// <summary>A base without frozen weights, for training all of them (they come with each adapter version, in fp32).</summary>
    public static BaseModel WithoutWeights(DecoderSpec spec, string device = "cpu")
    {
        ArgumentNullException.ThrowIfNull(spec);
        return new BaseModel(spec, torch.device(device), ScalarType.Float32, null, []);
    }

    /// <summary>A base without frozen weights that computes in fp64: what rounding does to the others is measured against it.</summary>
    internal static BaseModel InDouble(DecoderSpec spec) => new(spec, torch.CPU, ScalarType.Float64, null, []);

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (var tensor in _owned)
        {
            tensor.Dispose();
        }
    }
}
