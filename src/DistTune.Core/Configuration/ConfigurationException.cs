using System.Collections.Immutable;

namespace DistTune.Core.Configuration;

/// <summary>One thing that is wrong with a configuration.</summary>
/// <param name="Origin">Where it was written.</param>
/// <param name="Message">What was got, what was expected and the cure; without the place.</param>
public sealed record ConfigurationFault(ValueOrigin Origin, string Message)
{
    /// <summary>Place and message in one line.</summary>
    public override string ToString() => Origin.Kind is OriginKind.Default ? Message : $"{Origin}: {Message}";
}

/// <summary>Everything that is wrong with a configuration, in one report.</summary>
public sealed class ConfigurationException : DistTuneException
{
    /// <summary>Creates the report; the message has a line a fault, in the order of the layers and lines.</summary>
    public ConfigurationException(IEnumerable<ConfigurationFault> faults)
        : this([.. faults.OrderBy(fault => fault.Origin.Kind is OriginKind.Default ? int.MaxValue : (int)fault.Origin.Kind).ThenBy(fault => fault.Origin.Line)])
    {
    }

    private ConfigurationException(ImmutableArray<ConfigurationFault> faults)
        : base(FaultKind.Configuration, string.Join('\n', faults)) => Faults = faults;

    /// <summary>The faults.</summary>
    public ImmutableArray<ConfigurationFault> Faults { get; }
}
