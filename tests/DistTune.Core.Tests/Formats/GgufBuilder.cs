using System.Buffers.Binary;
using System.Text;

namespace DistTune.Core.Tests.Formats;

/// <summary>Writes GGUF files for tests: valid ones, and ones that lie.</summary>
internal sealed class GgufBuilder
{
    private readonly MemoryStream _pairs = new();
    private readonly MemoryStream _infos = new();
    private readonly MemoryStream _data = new();
    private ulong _pairCount;
    private ulong _tensorCount;

    public uint Magic { get; set; } = 0x46554747;

    public uint Version { get; set; } = 3;

    public ulong? ClaimedPairs { get; set; }

    public ulong? ClaimedTensors { get; set; }

    public static byte[] Utf8(string text) => [.. Number((ulong)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    public static byte[] Number(uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return bytes;
    }

    public static byte[] Number(ulong value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return bytes;
    }

    public GgufBuilder Raw(string key, uint type, params byte[] value) => RawKey(Utf8(key), type, value);

    public GgufBuilder RawKey(byte[] key, uint type, byte[] value)
    {
        _pairs.Write([.. key, .. Number(type), .. value]);
        _pairCount++;
        return this;
    }

    public GgufBuilder Set(string key, string value) => Raw(key, 8, Utf8(value));

    public GgufBuilder Set(string key, uint value) => Raw(key, 4, Number(value));

    public GgufBuilder Set(string key, float value) => Raw(key, 6, BitConverter.GetBytes(value));

    public GgufBuilder Tensor(string name, uint type, ulong[] ne, ulong offset)
    {
        _infos.Write([.. Utf8(name), .. Number((uint)ne.Length), .. ne.SelectMany(Number), .. Number(type), .. Number(offset)]);
        _tensorCount++;
        return this;
    }

    /// <summary>A fp32 tensor whose element i is value(i), put after the others.</summary>
    public GgufBuilder Floats(string name, ulong[] ne, Func<int, float> value)
    {
        Pad(_data);
        Tensor(name, 0, ne, (ulong)_data.Length);
        var count = (int)ne.Aggregate(1UL, (product, dimension) => product * dimension);
        for (var i = 0; i < count; i++)
        {
            _data.Write(BitConverter.GetBytes(value(i)));
        }

        return this;
    }

    public GgufBuilder Data(int bytes)
    {
        _data.Write(new byte[bytes]);
        return this;
    }

    /// <summary>A llama of one layer: hidden 8, 2 heads of width 4, 1 kv head, ffn 12, vocabulary 16, tied.</summary>
    public GgufBuilder Llama(bool bias = false, float theta = 500000f)
    {
        Set("general.architecture", "llama").Set("llama.block_count", 1).Set("llama.context_length", 64).Set("llama.embedding_length", 8)
            .Set("llama.feed_forward_length", 12).Set("llama.attention.head_count", 2).Set("llama.attention.head_count_kv", 1)
            .Set("llama.attention.layer_norm_rms_epsilon", 1e-5f).Set("llama.rope.freq_base", theta);
        Floats("token_embd.weight", [8, 16], i => i).Floats("output_norm.weight", [8], i => i);
        Floats("blk.0.attn_norm.weight", [8], i => i).Floats("blk.0.ffn_norm.weight", [8], i => i);
        foreach (var (name, columns, rows) in ((string, ulong, ulong)[])
            [("attn_q", 8, 8), ("attn_k", 8, 4), ("attn_v", 8, 4), ("attn_output", 8, 8), ("ffn_gate", 8, 12), ("ffn_up", 8, 12), ("ffn_down", 12, 8)])
        {
            Floats($"blk.0.{name}.weight", [columns, rows], i => i);
            if (bias && name.StartsWith("attn", StringComparison.Ordinal))
            {
                Floats($"blk.0.{name}.bias", [rows], i => i);
            }
        }

        return this;
    }

    public byte[] Build()
    {
        using var file = new MemoryStream();
        file.Write([.. Number(Magic), .. Number(Version), .. Number(ClaimedTensors ?? _tensorCount), .. Number(ClaimedPairs ?? _pairCount)]);
        file.Write(_pairs.ToArray());
        file.Write(_infos.ToArray());
        if (_data.Length > 0)
        {
            Pad(file);
            file.Write(_data.ToArray());
        }

        return file.ToArray();
    }

    private static void Pad(MemoryStream stream)
    {
        while (stream.Length % 32 != 0)
        {
            stream.WriteByte(0);
        }
    }
}
