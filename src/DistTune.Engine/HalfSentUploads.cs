namespace DistTune.Engine;

/// <summary>
/// Uploads of the open stage whose connection was lost: they wait in the spool, out of memory and out of sight, for their worker to come
/// back. Few enough, and not for longer than a lease; the oldest go first. Not thread-safe; the run's gate guards it.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="patience">How long each waits.</param>
/// <param name="bytesEach">What one takes of the disk.</param>
internal sealed class HalfSentUploads(TimeProvider time, TimeSpan patience, long bytesEach)
{
    private const int Most = 256;
    private const long MostBytes = 4L << 30;
    private readonly int _most = (int)Math.Clamp(MostBytes / Math.Max(1, bytesEach), 1, Most);
    private readonly LinkedList<(GroupKey Group, string Worker, GradientUpload Upload, long Since)> _waiting = [];

    /// <summary>Keeps an upload; it owns it from now on.</summary>
    public void Put(GroupKey group, string worker, GradientUpload upload)
    {
        Take(group, worker)?.Dispose();
        _waiting.AddLast((group, worker, upload, time.GetTimestamp()));
        if (_waiting.Count > _most)
        {
            DropFirst();
        }
    }

    /// <summary>The upload, which stays.</summary>
    public GradientUpload? Find(GroupKey group, string worker) => _waiting.FirstOrDefault(item => item.Group == group && item.Worker == worker).Upload;

    /// <summary>The upload, which is the caller's from now on.</summary>
    public GradientUpload? Take(GroupKey group, string worker)
    {
        for (var node = _waiting.First; node is not null; node = node.Next)
        {
            if (node.Value.Group == group && node.Value.Worker == worker)
            {
                _waiting.Remove(node);
                return node.Value.Upload;
            }
        }

        return null;
    }

    public void DropOld()
    {
        while (_waiting.First is { } first && time.GetElapsedTime(first.Value.Since) >= patience)
        {
            DropFirst();
        }
    }

    public void Clear()
    {
        while (_waiting.Count > 0)
        {
            DropFirst();
        }
    }

    private void DropFirst()
    {
        _waiting.First!.Value.Upload.Dispose();
        _waiting.RemoveFirst();
    }
}
