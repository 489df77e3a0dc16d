using System.Buffers;
using System.Runtime.InteropServices;

namespace DistTune.Protocol;

/// <summary>The bytes of an array of floats, without a copy.</summary>
internal sealed class FloatMemory(Memory<float> values) : MemoryManager<byte>
{
    public override Span<byte> GetSpan() => MemoryMarshal.AsBytes(values.Span);

    public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException("The bytes of a flat vector are read, never pinned.");

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}
