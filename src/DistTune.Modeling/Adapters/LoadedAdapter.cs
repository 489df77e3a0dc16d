using DistTune.Core.Training;

namespace DistTune.Modeling.Adapters;

/// <summary>An adapter that is put on a base.</summary>
/// <param name="Layout">Its tensors.</param>
/// <param name="Settings">What it is.</param>
/// <param name="Version">Their values.</param>
/// <param name="Weight">Factor on what it adds.</param>
public sealed record LoadedAdapter(ParameterLayout Layout, AdapterSettings Settings, AdapterVersion Version, double Weight = 1);
