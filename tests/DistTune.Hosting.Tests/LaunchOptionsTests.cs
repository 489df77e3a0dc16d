using DistTune.AppHost;

namespace DistTune.Hosting.Tests;

public sealed class LaunchOptionsTests
{
    private static readonly string Config = Repository.PathOf("DistTune.sln");

    [Theory]
    [InlineData(1, 16, 16)]
    [InlineData(2, 16, 8)]
    [InlineData(3, 16, 5)]
    [InlineData(3, 2, 1)]
    public void Cores_are_shared_out_among_the_workers(int workers, int cores, int threads)
    {
        Assert.True(LaunchOptions.TryParse([Config, "--workers", $"{workers}"], cores, out var options, out _));

        Assert.Equal((workers, threads), (options.Workers, options.ThreadsPerWorker));
    }

    [Fact]
    public void What_is_not_about_processes_is_the_coordinators()
    {
        var relative = Path.GetRelativePath(Environment.CurrentDirectory, Config);

        Assert.True(LaunchOptions.TryParse([relative, "--set", "a.b=c", "--workers=3", "--threads-per-worker", "1", "--json"], 2, out var options, out _));

        Assert.Equal([Config, "--set", "distributed.workers=3", "--set", "a.b=c", "--json"], options.CoordinatorArguments);
        Assert.Equal((3, 1), (options.Workers, options.ThreadsPerWorker));
    }

    [Theory]
    [InlineData("must be a whole number from 1 to 64, got '0'", "--workers", "0")]
    [InlineData("must be a whole number from 1 to 64, got ''", "--workers")]
    [InlineData("must be a whole number from 1 to 4, got '5'", "--threads-per-worker", "5")]
    [InlineData("There is no file", "--workers", "1", "missing.yaml")]
    [InlineData("The first argument must be the run's configuration file", "--json")]
    public void A_command_line_that_is_not_understood_is_answered_with_the_cure(string expected, params string[] args)
    {
        Assert.False(LaunchOptions.TryParse(args.Contains("missing.yaml") || args[0] == "--json" ? args : [Config, .. args], 4, out _, out var fault));

        Assert.Contains(expected, fault, StringComparison.Ordinal);
        Assert.Contains("usage:", fault, StringComparison.Ordinal);
    }
}
