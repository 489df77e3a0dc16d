using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using Grpc.Core;

namespace Grpc.Net;

/// <summary>Length-prefixed messages: one byte for compression, four for the length (big-endian), then the message.</summary>
internal static class Frame
{
    public const int HeaderLength = 5;
    public const int DefaultMaxReceiveLength = 4 * 1024 * 1024;

    /// <summary>Serialises a message with its prefix.</summary>
    public static ReadOnlyMemory<byte> Write<T>(Marshaller<T> marshaller, T message, int? maxLength)
    {
        var context = new FrameSerializationContext();
        marshaller.ContextualSerializer(message, context);
        var frame = context.Frame();
        if (frame.Length - HeaderLength > maxLength)
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted, $"Sending message exceeds the maximum configured message size: {frame.Length - HeaderLength} of {maxLength} bytes."));
        }

        return frame;
    }

    /// <summary>Reads the next message; <see langword="default"/> with Found false at a clean end of the stream.</summary>
    /// <exception cref="RpcException">The message is too long, compressed or cut off.</exception>
    public static async ValueTask<(bool Found, T? Message)> ReadAsync<T>(PipeReader reader, Marshaller<T> marshaller, int? maxLength, CancellationToken cancellationToken)
    {
        while (true)
        {
            var result = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (result.IsCanceled)
            {
                throw new OperationCanceledException(cancellationToken);
            }

            var buffer = result.Buffer;
            if (buffer.Length >= HeaderLength)
            {
                var length = MessageLength(buffer, maxLength);
                if (buffer.Length >= HeaderLength + length)
                {
                    var payload = buffer.Slice(HeaderLength, length);
                    var message = marshaller.ContextualDeserializer(new FrameDeserializationContext(payload));
                    reader.AdvanceTo(payload.End);
                    return (true, message);
                }
            }

            if (result.IsCompleted)
            {
                return buffer.IsEmpty ? (false, default) : throw new RpcException(new Status(StatusCode.Internal, "Incomplete message."));
            }

            reader.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    private static long MessageLength(ReadOnlySequence<byte> buffer, int? maxLength)
    {
        Span<byte> header = stackalloc byte[HeaderLength];
        buffer.Slice(0, HeaderLength).CopyTo(header);
        if (header[0] != 0)
        {
            throw new RpcException(new Status(StatusCode.Unimplemented, "Compressed messages are not supported here; send with grpc-encoding identity."));
        }

        var length = BinaryPrimitives.ReadUInt32BigEndian(header[1..]);
        if (length > (maxLength ?? int.MaxValue))
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted, $"Received message exceeds the maximum configured message size: {length} of {maxLength ?? int.MaxValue} bytes."));
        }

        return length;
    }

    private sealed class FrameSerializationContext : SerializationContext
    {
        private ArrayBufferWriter<byte>? _writer;
        private byte[]? _frame;
        private int _length;

        public override void Complete(byte[] payload)
        {
            _frame = new byte[HeaderLength + payload.Length];
            payload.CopyTo(_frame, HeaderLength);
        }

        public override void SetPayloadLength(int payloadLength) => _length = payloadLength;

        public override IBufferWriter<byte> GetBufferWriter()
        {
            if (_writer is null)
            {
                _writer = new ArrayBufferWriter<byte>(HeaderLength + Math.Max(_length, 16));
                _writer.GetSpan(HeaderLength)[..HeaderLength].Clear();
                _writer.Advance(HeaderLength);
            }

            return _writer;
        }

        public override void Complete()
        {
        }

        public ReadOnlyMemory<byte> Frame()
        {
            var frame = _frame ?? System.Runtime.InteropServices.MemoryMarshal.AsMemory(((ArrayBufferWriter<byte>)GetBufferWriter()).WrittenMemory);
            BinaryPrimitives.WriteUInt32BigEndian(frame.Span[1..], (uint)(frame.Length - HeaderLength));
            return frame;
        }
    }

    private sealed class FrameDeserializationContext(ReadOnlySequence<byte> payload) : DeserializationContext
    {
        public override int PayloadLength => (int)payload.Length;

        public override byte[] PayloadAsNewBuffer() => payload.ToArray();

        public override ReadOnlySequence<byte> PayloadAsReadOnlySequence() => payload;
    }
}
