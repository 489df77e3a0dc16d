using DistTune.Core.Formats;

namespace DistTune.Core.Quantization;

/// <summary>Weights some of which can be had in four bits. By <see cref="IWeightSource"/>'s own members those have their full shape and are restored when read.</summary>
public interface IFourBitWeights : IWeightSource
{
    /// <summary>How long the parts of a weight are in four bits (the offset may not be known yet); null if it is not held in four bits.</summary>
    FourBitState? FindFourBit(string name);

    /// <summary>Reads a weight in four bits.</summary>
    /// <param name="name">The weight.</param>
    /// <param name="bytes">Takes its parts, as long as <see cref="FindFourBit"/> says.</param>
    /// <returns>Its state.</returns>
    FourBitState ReadFourBit(string name, FourBitBytes bytes);
}
