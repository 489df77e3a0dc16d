using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Optimization;
using DistTune.Core.Training;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>What a snapshot holds.</summary>
/// <param name="Step">Optimizer steps taken.</param>
/// <param name="Adapter">The adapter after them.</param>
/// <param name="FirstMoment">AdamW's moving average of gradients.</param>
/// <param name="SecondMoment">AdamW's moving average of squared gradients.</param>
/// <param name="History">The run's opening, its steps and measurements so far.</param>
internal sealed record RunSnapshot(
    int Step, AdapterVersion Adapter, ReadOnlyMemory<float> FirstMoment, ReadOnlyMemory<float> SecondMoment, ImmutableArray<RunRecord> History);

/// <summary>
/// Snapshots: <c>snapshots/step-000100/{adapter, optimizer, state, MANIFEST.json}</c>. Written under another name and renamed when
/// everything in it is durable, so that a snapshot is either whole or not there; what is whole says its manifest.
/// </summary>
internal sealed class SnapshotFolder(IRunStorage storage, string root)
{
    public const string Folder = "snapshots";
    public const string ManifestName = "MANIFEST.json";
    private const string Prefix = "step-";
    private const string AdapterName = "adapter";
    private const string OptimizerName = "optimizer";
    private const string StateName = "state";
    private const int Format = 2;
    private const int MostManifestBytes = 1 << 16;

    /// <summary>Steps of the snapshots that are there, ascending.</summary>
    public IReadOnlyList<int> Steps => [.. storage.List(root).Select(name => VectorFile.NumberIn(name, Prefix)).OfType<int>().Order()];

    /// <summary>A snapshot's folder.</summary>
    public string PathOf(int step) => Within(VectorFile.Numbered(Prefix, step));

    /// <summary>The step in a snapshot folder's name, or null if it is none.</summary>
    public static int? StepOf(string name) => VectorFile.NumberIn(name, Prefix);

    /// <summary>Writes a snapshot and returns the SHA-256 of its manifest; durable, its name included, when it returns.</summary>
    public string Write(RunSnapshot snapshot)
    {
        var final = PathOf(snapshot.Step);
        var staging = Within($".{VectorFile.Numbered(Prefix, snapshot.Step)}.tmp");
        storage.CreateFolder(root);
        storage.Delete(staging);
        storage.CreateFolder(staging);
        var state = StateBytes(snapshot.History);
        var files = new (string Name, long Bytes, string Sha256)[]
        {
            (AdapterName, 0, ""), (OptimizerName, 0, ""), (StateName, 0, ""),
        };
        files[0] = WriteFile(staging, AdapterName, file => VectorFile.Write(file, 0, snapshot.Adapter.Values.Span), snapshot.Adapter.Sha256);
        files[1] = WriteFile(
            staging,
            OptimizerName,
            file =>
            {
                VectorFile.Write(file, 0, snapshot.FirstMoment.Span);
                VectorFile.Write(file, (long)snapshot.FirstMoment.Length * sizeof(float), snapshot.SecondMoment.Span);
            },
            OptimizerHash.Of(snapshot.FirstMoment.Span, snapshot.SecondMoment.Span));
        files[2] = WriteFile(staging, StateName, file => file.Write(0, state), Convert.ToHexStringLower(SHA256.HashData(state)));
        var manifest = Manifest(snapshot, files);
        WriteFile(staging, ManifestName, file => file.Write(0, manifest), "");
        storage.FlushFolder(staging);

        storage.Delete(final);
        storage.Rename(staging, final);
        storage.FlushFolder(root);
        storage.FlushFolder("");
        return Convert.ToHexStringLower(SHA256.HashData(manifest));
    }

    /// <summary>Reads a snapshot and checks every hash of it.</summary>
    /// <exception cref="DistTuneException">It is not whole, or does not fit the layout.</exception>
    public RunSnapshot Read(int step, ParameterLayout layout, OptimizerSettings optimizer)
    {
        var folder = PathOf(step);
        var manifest = ReadManifest(folder, step);
        var length = checked((int)layout.Length);
        var momentLength = checked((int)Optimizers.MomentLength(layout, optimizer));
        var adapter = new float[length];
        var moments = new float[2][] { new float[momentLength], new float[momentLength] };
        ReadVectors(folder, AdapterName, manifest, adapter);
        ReadVectors(folder, OptimizerName, manifest, moments);
        return new RunSnapshot(step, AdapterHash.Version(adapter), moments[0], moments[1], ReadState(folder, manifest));
    }

    /// <summary>Deletes the oldest snapshots until so many are left.</summary>
    public void Keep(int count)
    {
        foreach (var step in Steps.SkipLast(count))
        {
            storage.Delete(PathOf(step));
        }
    }

    /// <summary>Deletes the snapshots of later steps.</summary>
    public void ForgetAfter(int step)
    {
        foreach (var later in Steps.Where(other => other > step))
        {
            storage.Delete(PathOf(later));
        }
    }

    private string Within(string name) => root.Length == 0 ? name : $"{root}/{name}";

    private (string Name, long Bytes, string Sha256) WriteFile(string folder, string name, Action<IStorageFile> write, string sha256)
    {
        using var file = storage.Open($"{folder}/{name}");
        write(file);
        file.Flush();
        return (name, file.Length, sha256);
    }

    private static byte[] Manifest(RunSnapshot snapshot, IEnumerable<(string Name, long Bytes, string Sha256)> files)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteNumber("format", Format);
            json.WriteString("run_id", ((RunOpened)snapshot.History[0]).RunId);
            json.WriteNumber("step", snapshot.Step);
            json.WriteStartObject("files");
            foreach (var (name, bytes, sha256) in files)
            {
                json.WriteStartObject(name);
                json.WriteNumber("bytes", bytes);
                json.WriteString("sha256", sha256);
                json.WriteEndObject();
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private Dictionary<string, (long Bytes, string Sha256)> ReadManifest(string folder, int step)
    {
        var bytes = ReadBytes(folder, ManifestName, MostManifestBytes);
        try
        {
            using var json = JsonDocument.Parse(bytes);
            var root = json.RootElement;
            if (root.GetProperty("format").GetInt32() != Format || root.GetProperty("step").GetInt32() != step)
            {
                throw Fault(folder, "its manifest is of another format or step");
            }

            return root.GetProperty("files").EnumerateObject().ToDictionary(
                file => file.Name, file => (file.Value.GetProperty("bytes").GetInt64(), file.Value.GetProperty("sha256").GetString() ?? ""), StringComparer.Ordinal);
        }
        catch (Exception fault) when (fault is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw Fault(folder, $"its manifest cannot be read: {fault.Message}");
        }
    }

    private void ReadVectors(string folder, string name, Dictionary<string, (long Bytes, string Sha256)> manifest, params float[][] vectors)
    {
        var expected = Expected(folder, name, manifest);
        using var file = OpenExisting(folder, name);
        var bytes = vectors.Sum(vector => (long)vector.Length * sizeof(float));
        if (expected.Bytes != bytes || file.Length != bytes)
        {
            throw Fault(folder, string.Create(CultureInfo.InvariantCulture, $"'{name}' has {file.Length} bytes, the run's layout {bytes}"));
        }

        long offset = 0;
        foreach (var vector in vectors)
        {
            if (!VectorFile.TryRead(file, offset, vector))
            {
                throw Fault(folder, $"'{name}' ends early");
            }

            offset += (long)vector.Length * sizeof(float);
        }

        RequireHash(folder, name, expected.Sha256, vectors.Length == 1 ? AdapterHash.Sha256(vectors[0]) : OptimizerHash.Of(vectors[0], vectors[1]));
    }

    private ImmutableArray<RunRecord> ReadState(string folder, Dictionary<string, (long Bytes, string Sha256)> manifest)
    {
        var expected = Expected(folder, StateName, manifest);
        var bytes = ReadBytes(folder, StateName, JournalFrame.MostBytes);
        RequireHash(folder, StateName, expected.Sha256, Convert.ToHexStringLower(SHA256.HashData(bytes)));
        var records = ImmutableArray.CreateBuilder<RunRecord>();
        for (var rest = bytes.AsSpan(); !rest.IsEmpty;)
        {
            // The hash is right, so a length that does not fit means another version.
            if (rest.Length < 8 || BinaryPrimitives.ReadInt32LittleEndian(rest) is not (>= 0 and var length) || length > rest.Length - 8)
            {
                throw Fault(folder, $"'{StateName}' is of another version");
            }

            records.Add(RecordReader.Read((RecordType)BinaryPrimitives.ReadUInt32LittleEndian(rest[4..]), rest.Slice(8, length)));
            rest = rest[(8 + length)..];
        }

        return records is [RunOpened, ..] ? records.ToImmutable() : throw Fault(folder, $"'{StateName}' does not say which run it is of");
    }

    private static byte[] StateBytes(ImmutableArray<RunRecord> history)
    {
        var all = new ArrayBufferWriter<byte>();
        var one = new ArrayBufferWriter<byte>();
        foreach (var record in history)
        {
            one.ResetWrittenCount();
            new RecordWriter(one).Write(record);
            var header = all.GetSpan(8);
            BinaryPrimitives.WriteInt32LittleEndian(header, one.WrittenCount);
            BinaryPrimitives.WriteUInt32LittleEndian(header[4..], (uint)RecordWriter.TypeOf(record));
            all.Advance(8);
            all.Write(one.WrittenSpan);
        }

        return all.WrittenSpan.ToArray();
    }

    private byte[] ReadBytes(string folder, string name, long most)
    {
        using var file = OpenExisting(folder, name);
        if (file.Length > most)
        {
            throw Fault(folder, string.Create(CultureInfo.InvariantCulture, $"'{name}' has {file.Length} bytes, at most {most} are expected"));
        }

        var bytes = new byte[file.Length];
        return file.Read(0, bytes) == bytes.Length ? bytes : throw Fault(folder, $"'{name}' ends early");
    }

    private IStorageFile OpenExisting(string folder, string name) =>
        storage.Exists($"{folder}/{name}") ? storage.Open($"{folder}/{name}") : throw Fault(folder, $"'{name}' is missing");

    private (long Bytes, string Sha256) Expected(string folder, string name, Dictionary<string, (long Bytes, string Sha256)> manifest) =>
        manifest.TryGetValue(name, out var facts) ? facts : throw Fault(folder, $"its manifest does not name '{name}'");

    private void RequireHash(string folder, string name, string expected, string got)
    {
        if (!string.Equals(expected, got, StringComparison.Ordinal))
        {
            throw Fault(folder, $"'{name}' has SHA-256 {got}, its manifest says {expected}");
        }
    }

    private DistTuneException Fault(string folder, string what) => new(FaultKind.InvalidFile, $"The snapshot {storage.Describe(folder)} is not whole: {what}.");
}
