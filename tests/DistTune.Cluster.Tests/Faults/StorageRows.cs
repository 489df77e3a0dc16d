using System.Diagnostics;
using System.Globalization;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about disks that are full and files that are torn.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class StorageRows
{
    private const int Unfinished = 75;
    private const string JournalName = "journal.log";
    private const string SnapshotsName = "snapshots";

    [Fact]
    public async Task Torn_journal_tail()
    {
        await using var cluster = new FaultCluster();
        await StopInMidRunAsync(cluster);
        var last = cluster.History().Entries[^1].Offset;
        using (var journal = File.OpenHandle(Path.Combine(cluster.Folder, JournalName), FileMode.Open, FileAccess.ReadWrite))
        {
            RandomAccess.SetLength(journal, last + 9);
        }

        var coordinator = cluster.StartCoordinator();
        await cluster.EndsWithTheSameAdapterAsync(coordinator);

        Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"they were cut off at byte {last}"), coordinator.Output, StringComparison.Ordinal);
        TableRow.Held("torn journal tail", "cut off where the last whole record ends; same SHA-256");
    }

    [Fact]
    public async Task Corruption_in_the_middle_of_the_journal()
    {
        await using var cluster = new FaultCluster();
        await StopInMidRunAsync(cluster);
        var entries = cluster.History().Entries;
        var damaged = entries[entries.Count / 2].Offset;
        FlipBit(Path.Combine(cluster.Folder, JournalName), damaged + 20);

        var refusing = cluster.StartCoordinator();
        Assert.Equal(2, await refusing.ExitCodeAsync());
        Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"is damaged at byte {damaged}"), refusing.Output, StringComparison.Ordinal);

        // Nothing was changed by refusing: with the bit back, the run goes on.
        FlipBit(Path.Combine(cluster.Folder, JournalName), damaged + 20);
        await cluster.EndsWithTheSameAdapterAsync(cluster.StartCoordinator());
        TableRow.Held("corruption in the middle of the journal", "refused with the offset and exit 2, nothing changed; repaired, same SHA-256");
    }

    [Theory]
    [InlineData("bit flip")]
    [InlineData("half of a file")]
    public async Task Torn_snapshot(string damage)
    {
        await using var cluster = new FaultCluster();
        await StopInMidRunAsync(cluster);
        var newest = Directory.EnumerateDirectories(Path.Combine(cluster.Folder, SnapshotsName)).Order(StringComparer.Ordinal).Last();
        var file = new DirectoryInfo(newest).EnumerateFiles().MaxBy(found => found.Length)!;
        if (damage == "bit flip")
        {
            FlipBit(file.FullName, file.Length / 2);
        }
        else
        {
            using var handle = File.OpenHandle(file.FullName, FileMode.Open, FileAccess.ReadWrite);
            RandomAccess.SetLength(handle, file.Length / 2);
        }

        var coordinator = cluster.StartCoordinator();
        await cluster.EndsWithTheSameAdapterAsync(coordinator);

        Assert.Contains(Path.GetFileName(newest), coordinator.Output, StringComparison.Ordinal);
        TableRow.Held($"torn snapshot ({damage} of {Path.GetFileName(newest)}/{file.Name})", "the older one and replay; same SHA-256");
    }

    [Fact]
    public async Task Disk_full()
    {
        var folder = Directory.CreateTempSubdirectory("disttune-full-").FullName;
        Assert.SkipUnless(await RunAsync("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder) == 0, "mounting a small file system needs root");
        try
        {
            await using var cluster = new FaultCluster { OutputFolder = folder };
            var worker = cluster.StartWorker(0);
            var coordinator = cluster.StartCoordinator();
            await FaultCluster.HoldAtAsync(1, coordinator, [worker]);

            // Somebody else fills the disk.
            await FillAsync(Path.Combine(folder, "filler"));
            await FaultCluster.LetGoAsync([worker]);
            Assert.True(await coordinator.ExitCodeAsync() == Unfinished, coordinator.Output);
            var stopped = cluster.History().Run();
            Assert.False(stopped.Ended);
            File.Delete(Path.Combine(folder, "filler"));
            Assert.Equal(0, await RunAsync("mount", "-o", "remount,size=64m", folder));

            await cluster.EndsWithTheSameAdapterAsync(cluster.StartCoordinator());
            Assert.True(await worker.ExitCodeAsync() == 0, worker.Output);
            WorkerRows.AssertEveryGroupCountsOnce(cluster);
            TableRow.Held("disk full", string.Create(CultureInfo.InvariantCulture, $"stopped after step {stopped.Steps.Count} with exit 75, everything on disk intact; with space it went on to the same SHA-256"));
        }
        finally
        {
            await RunAsync("umount", "-l", folder);
            Directory.Delete(folder);
        }
    }

    // With snapshots at steps 3 and 6, redo gradients behind them and a step half done.
    private static async Task StopInMidRunAsync(FaultCluster cluster)
    {
        var coordinator = cluster.StartCoordinator();
        cluster.StartWorker(0);
        await coordinator.PrintsAsync("Step 8/");
        await coordinator.SignalAsync("KILL");
        await coordinator.ExitCodeAsync();
    }

    private static void FlipBit(string path, long offset)
    {
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        var one = new byte[1];
        Assert.Equal(1, RandomAccess.Read(file, one, offset));
        one[0] ^= 1;
        RandomAccess.Write(file, one, offset);
    }

    private static async Task FillAsync(string path)
    {
        await using var filler = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        var block = new byte[4096];
        try
        {
            while (true)
            {
                await filler.WriteAsync(block, TestContext.Current.CancellationToken);
            }
        }
        catch (IOException)
        {
            // Full.
        }
    }

    private static async Task<int> RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        await process.WaitForExitAsync(CancellationToken.None);
        return process.ExitCode;
    }
}
