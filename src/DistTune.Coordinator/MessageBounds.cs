using System.Globalization;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>How much a message may hold; the transport bounds its bytes, this its parts, which take far more memory than bytes.</summary>
internal static class MessageBounds
{
    /// <summary>Most bytes of a message: a chunk of 256 KiB with room to spare, and the answers of an evaluation group.</summary>
    public const int MostBytes = 4 << 20;

    private const int MostReferences = 4096;
    private const int MostContinuations = 4096;
    private const int MostRuns = 1024;
    private const int LongestText = 1000;

    /// <summary>Checks a report.</summary>
    /// <exception cref="RpcException">It names more groups than any worker holds.</exception>
    public static void Check(SessionReport report) => AtMost(MostReferences, report.Progress.Count, "groups in a report");

    /// <summary>Checks the end of an upload.</summary>
    /// <exception cref="RpcException">It holds more answers than any group has.</exception>
    public static void Check(PushTrailer trailer) => AtMost(MostContinuations, trailer.Continuations.Count, "answers in a result");

    /// <summary>Checks a fingerprint's texts, which are kept and logged.</summary>
    /// <exception cref="RpcException">One is longer than any real one.</exception>
    public static void Check(Fingerprint? fingerprint)
    {
        if (fingerprint is null)
        {
            return;
        }

        AtMost(MostRuns, fingerprint.Canaries.Count, "canaries");
        string[] texts = [fingerprint.ProductVersion, fingerprint.InstructionSet, fingerprint.ComputeLibrary, fingerprint.BaseSha256, .. fingerprint.Canaries.Values];
        foreach (var text in texts)
        {
            AtMost(LongestText, text.Length, "characters in a fingerprint");
        }
    }

    /// <summary>A reason that a caller gives, cut to what a log line may hold and without line breaks that would forge one.</summary>
    public static string Reason(string text) => (text.Length <= LongestText ? text : text[..LongestText] + "…").ReplaceLineEndings(" ");

    private static void AtMost(int most, int count, string what)
    {
        if (count > most)
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted, string.Create(CultureInfo.InvariantCulture, $"{count} {what} are more than the {most} that are taken.")));
        }
    }
}
