using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>The training of a base from scratch, with everything that is needed to carry it out and to write the base.</summary>
public sealed record PreparedPretraining
{
    /// <summary>The recipe it comes from.</summary>
    public required PretrainConfig Config { get; init; }

    /// <summary>The plan; all weights are its adapter.</summary>
    public required RunPlan Plan { get; init; }

    /// <summary>What the base is.</summary>
    public required DecoderSpec Spec { get; init; }

    /// <summary>The base's config.json.</summary>
    public required string ConfigJson { get; init; }

    /// <summary>The tokenizer that was trained on the corpus.</summary>
    public required TokenizerJson Tokenizer { get; init; }

    /// <summary>What the corpus comes to.</summary>
    public required DataSummary Data { get; init; }

    /// <summary>The weights that training starts from.</summary>
    public required AdapterVersion InitialWeights { get; init; }

    /// <summary>Writes the base as a Hugging Face folder in bfloat16. Other files in the folder stay.</summary>
    public void WriteModel(AdapterVersion weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        var staging = Directory.CreateTempSubdirectory("disttune-pretrain-").FullName;
        try
        {
            AtomicFile.WriteText(Path.Combine(staging, ModelFamilies.ConfigName), ConfigJson);
            Tokenizer.Write(staging);
            ModelFolder.Save(Config.OutputFolder, Plan.Layout, weights.Values, staging, WeightType.BFloat16);
        }
        finally
        {
            Directory.Delete(staging, recursive: true);
        }
    }
}
