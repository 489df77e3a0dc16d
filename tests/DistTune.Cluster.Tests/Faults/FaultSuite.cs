namespace DistTune.Cluster.Tests.Faults;

/// <summary>The rows run one after the other, and after all other tests: what they wait for must not wait for the cores.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class FaultSuite
{
    internal const string Name = "The fault table";
}
