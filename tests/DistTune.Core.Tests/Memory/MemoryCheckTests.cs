using DistTune.Core.Memory;
using DistTune.Core.Models;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Memory;

public sealed class MemoryCheckTests
{
    private static readonly DecoderSpec Spec = ModelFamilies.Describe(Golden.Path("quant", "tiny-llama"));

    private static readonly MemoryQuestion Question = new(
        Spec, AdapterLayout.Create(Spec, new AdapterSettings(AdapterKind.Lora, 8, 16, [AdapterLayout.AllLinear])), new BatchSize(8192, 4096, 1024))
    {
        Lanes = 2,
    };

    [Fact]
    public void What_fits_or_cannot_be_told_is_not_refused()
    {
        MemoryCheck.Require(Question, null, "memory_check: false");
        MemoryCheck.Require(Question, MemoryPredictor.Predict(Question).Bytes, "memory_check: false");
    }

    [Fact]
    public void What_cannot_fit_is_refused_with_settings_that_would()
    {
        var free = MemoryPredictor.Predict(Question).Bytes - 1;

        var fault = Assert.Throws<DistTuneException>(() => MemoryCheck.Require(Question, free, "memory_check: false"));

        Assert.Equal(FaultKind.Configuration, fault.Kind);
        foreach (var part in (string[])["gradient_checkpointing: true", "threads_per_worker: 1", "micro_batch_size: 4", "sequence_len: 512", "memory_check: false starts it all the same"])
        {
            Assert.Contains(part, fault.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Where_no_setting_alone_is_enough_several_are_named_together()
    {
        var free = MemoryPredictor.Predict(Question with { GradientCheckpointing = true, Lanes = 1, Batch = new BatchSize(1024, 1024, 1024) }).Bytes;

        Assert.Equal(["gradient_checkpointing: true and distributed: {threads_per_worker: 1} and micro_batch_size: 1"], MemoryCheck.Cures(Question, free));
    }

    [Fact]
    public void Four_bits_are_predicted_byte_for_byte()
    {
        var full = Part(Question, "base");
        var four = Part(Question with { Quantization = new FourBitSettings() }, "base");
        var linear = FourBitModules.Of(Spec).Select(name => Spec.Weights.Single(weight => weight.Name == name).Shape).Sum(shape => shape[0] * shape[1]);

        Assert.InRange(full - four, linear * 3.4, linear * 3.5);
        static long Part(MemoryQuestion question, string name) => MemoryPredictor.Predict(question).Parts.Single(part => part.Name == name).Bytes;
    }

    [Fact]
    public void The_smaller_of_machine_and_container_counts()
    {
        var root = Directory.CreateTempSubdirectory("disttune-memory-");
        try
        {
            Directory.CreateDirectory(Path.Combine(root.FullName, "proc"));
            var group = Directory.CreateDirectory(Path.Combine(root.FullName, "sys", "fs", "cgroup")).FullName;
            Assert.Null(FreeMemory.Bytes(root.FullName));

            File.WriteAllText(Path.Combine(root.FullName, "proc", "meminfo"), "MemTotal: 100 kB\nMemAvailable:   2000 kB\n");
            File.WriteAllText(Path.Combine(group, "memory.max"), "max\n");
            File.WriteAllText(Path.Combine(group, "memory.current"), "300000\n");
            File.WriteAllText(Path.Combine(group, "memory.stat"), "anon 100000\ninactive_file 100000\n");
            Assert.Equal(2000 * 1024, FreeMemory.Bytes(root.FullName));

            File.WriteAllText(Path.Combine(group, "memory.max"), "1000000\n");
            Assert.Equal(1000000 - 200000, FreeMemory.Bytes(root.FullName));

            // A service of the machine lies deeper, and what is above it bounds it, too.
            Directory.CreateDirectory(Path.Combine(root.FullName, "proc", "self"));
            File.WriteAllText(Path.Combine(root.FullName, "proc", "self", "cgroup"), "3:cpu,cpuacct:/\n0::/jobs/one\n");
            var own = Directory.CreateDirectory(Path.Combine(group, "jobs", "one")).FullName;
            File.WriteAllText(Path.Combine(own, "memory.max"), "max\n");
            File.WriteAllText(Path.Combine(own, "memory.current"), "1\n");
            File.WriteAllText(Path.Combine(group, "jobs", "memory.max"), "500000\n");
            File.WriteAllText(Path.Combine(group, "jobs", "memory.current"), "100000\n");
            Assert.Equal(400000, FreeMemory.Bytes(root.FullName));

            var legacy = Directory.CreateDirectory(Path.Combine(group, "memory", "job")).FullName;
            File.WriteAllText(Path.Combine(root.FullName, "proc", "self", "cgroup"), "4:memory:/job\n0::/\n");
            File.WriteAllText(Path.Combine(legacy, "memory.limit_in_bytes"), "90000\n");
            File.WriteAllText(Path.Combine(legacy, "memory.usage_in_bytes"), "50000\n");
            File.WriteAllText(Path.Combine(legacy, "memory.stat"), "total_inactive_file 10000\n");
            Assert.Equal(50000, FreeMemory.Bytes(root.FullName));
        }
        finally
        {
            root.Delete(recursive: true);
        }
    }
}
