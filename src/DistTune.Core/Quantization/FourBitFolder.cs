using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;

namespace DistTune.Core.Quantization;

/// <summary>Writes a base in four bits as a Hugging Face folder, key for key as transformers saves it.</summary>
public static class FourBitFolder
{
    /// <summary>Writes config.json and model.safetensors into an existing folder.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="sourceFolder">The base in full.</param>
    /// <param name="spec">What the base is.</param>
    /// <param name="settings">How to quantise.</param>
    /// <param name="change">What is made of the base before; null leaves it as it is.</param>
    /// <exception cref="DistTuneException">The base cannot be read or quantised.</exception>
    public static void Write(string folder, string sourceFolder, DecoderSpec spec, FourBitSettings settings, BaseChange? change = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        var source = WeightSources.Open(sourceFolder);
        using var weights = new QuantizingWeights(change?.Apply(source) ?? source, spec, settings);
        ModelFamilies.CheckWeights(spec, weights, sourceFolder);
        using var document = JsonFile.Read(Path.Combine(sourceFolder, ModelFamilies.ConfigName));
        var config = JsonObject.Create(document.RootElement.Clone())!;
        config[QuantizationConfig.Field] = Describe(settings);
        AtomicFile.WriteText(Path.Combine(folder, ModelFamilies.ConfigName), JsonFile.Render(config));
        WriteWeights(Path.Combine(folder, WeightSources.SingleFileName), weights);
    }

    private static JsonObject Describe(FourBitSettings settings) => new()
    {
        ["_load_in_4bit"] = true,
        ["_load_in_8bit"] = false,
        ["bnb_4bit_compute_dtype"] = "float32",
        ["bnb_4bit_quant_storage"] = "uint8",
        ["bnb_4bit_quant_type"] = FourBitSettings.Spelling(settings.Kind),
        ["bnb_4bit_use_double_quant"] = settings.DoubleQuantization,
        ["llm_int8_enable_fp32_cpu_offload"] = false,
        ["llm_int8_has_fp16_weight"] = false,
        ["llm_int8_skip_modules"] = null,
        ["llm_int8_threshold"] = 6.0,
        ["load_in_4bit"] = true,
        ["load_in_8bit"] = false,
        ["quant_method"] = "bitsandbytes",
    };

    private static void WriteWeights(string path, QuantizingWeights weights)
    {
        // The header comes first and needs the length of every state's text. The small parts are kept from a first pass; the codes, nearly
        // all of the bytes, are made again when they are written, so that a base of any size fits.
        var parts = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        var infos = new List<WeightInfo>();
        foreach (var info in weights.Weights)
        {
            infos.AddRange(weights.FindFourBit(info.Name) is null ? [InFull(info)] : Quantize(weights, info.Name, parts));
        }

        SafetensorsWriter.Write(path, infos, (info, stream) =>
        {
            if (parts.TryGetValue(info.Name, out var part))
            {
                stream.Write(part);
            }
            else if (weights.FindFourBit(info.Name) is { } state)
            {
                var bytes = Buffers(state);
                weights.ReadFourBit(info.Name, bytes);
                stream.Write(bytes.Packed);
            }
            else if (weights.Find(info.Name)!.Type == WeightType.Quantized)
            {
                var values = new float[checked((int)info.Length)];
                weights.ReadFloat32(info.Name, values);
                SafetensorsWriter.WriteValues(stream, values, info.Type);
            }
            else
            {
                var raw = new byte[checked((int)(info.Length * WeightConversion.SizeOf(info.Type)))];
                weights.ReadRaw(info.Name, raw);
                stream.Write(raw);
            }
        });
    }

    // What a GGUF file has in blocks of its own and is no layer's matrix (its embeddings) is written as it is computed with.
    private static WeightInfo InFull(WeightInfo info) => info.Type == WeightType.Quantized ? new WeightInfo(info.Name, WeightType.Float32, info.Shape) : info;

    private static IEnumerable<WeightInfo> Quantize(QuantizingWeights weights, string name, Dictionary<string, byte[]> parts)
    {
        var bytes = Buffers(weights.FindFourBit(name)!);
        var state = weights.ReadFourBit(name, bytes);
        List<WeightInfo> infos = [new(name, WeightType.UInt8, [state.PackedBytes, 1])];
        Add(name + FourBitKeys.Scales, state.Nested is null ? WeightType.Float32 : WeightType.UInt8, bytes.Scales.ToArray());
        Add(name + FourBitKeys.Map, WeightType.Float32, MemoryMarshal.AsBytes(CodeBook.Of(state.Kind).Values.AsSpan()).ToArray());
        if (state.Nested is not null)
        {
            Add(name + FourBitKeys.NestedScales, WeightType.Float32, MemoryMarshal.AsBytes(bytes.Nested).ToArray());
            Add(name + FourBitKeys.NestedMap, WeightType.Float32, MemoryMarshal.AsBytes(CodeBook.Dynamic.Values.AsSpan()).ToArray());
        }

        Add(FourBitKeys.State(name, state.Kind), WeightType.UInt8, FourBitKeys.Write(state));
        return infos;

        void Add(string part, WeightType type, byte[] content)
        {
            infos.Add(new WeightInfo(part, type, [content.Length / WeightConversion.SizeOf(type)]));
            parts.Add(part, content);
        }
    }

    private static FourBitBytes Buffers(FourBitState state) => new()
    {
        Packed = new byte[state.PackedBytes],
        Scales = new byte[state.ScaleBytes],
        Nested = new float[state.NestedCount],
    };
}
