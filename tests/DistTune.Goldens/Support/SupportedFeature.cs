namespace DistTune.Goldens.Support;

/// <summary>Something a user asks about: "does it do this?".</summary>
/// <param name="Area">Heading of the support table under which it stands.</param>
/// <param name="Name">What users call it.</param>
public readonly record struct SupportedFeature(string Area, string Name)
{
    /// <summary>Area of the model families.</summary>
    public const string Families = "Model families";

    /// <summary>Area of the rotary position kinds.</summary>
    public const string Rotary = "Rotary positions";

    /// <summary>Area of what can be trained.</summary>
    public const string Adapters = "What is trained";

    /// <summary>Area of how the base is stored.</summary>
    public const string Bases = "How the base is stored";
}
