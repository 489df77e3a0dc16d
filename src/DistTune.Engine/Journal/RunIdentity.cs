using DistTune.Core.Training;

namespace DistTune.Engine.Journal;

/// <summary>Whether what is on disk is the run that is asked for.</summary>
internal static class RunIdentity
{
    /// <summary>What differs, field by field; empty if it is the same run.</summary>
    public static IReadOnlyList<string> Differences(RunOpened kept, RunPlan plan, AdapterVersion initial)
    {
        var differences = new List<string>();
        Compare(differences, "the base model", kept.Hashes.Base, plan.Hashes.Base);
        Compare(differences, "the tokenizer", kept.Hashes.Tokenizer, plan.Hashes.Tokenizer);
        Compare(differences, "the chat template", kept.Hashes.Template, plan.Hashes.Template);
        Compare(differences, "the data (rows, or how they are cut into tokens)", kept.Hashes.Data, plan.Hashes.Data);
        if (kept.Hashes.Configuration != plan.Hashes.Configuration)
        {
            var named = Settings(kept, plan).ToList();
            differences.AddRange(named.Count > 0 ? named : ["the configuration"]);
        }

        if (differences.Count == 0)
        {
            Compare(differences, "the adapter that training starts from", kept.AdapterSha256, initial.Sha256);
        }

        return differences;
    }

    private static IEnumerable<string> Settings(RunOpened kept, RunPlan plan)
    {
        var before = kept.Settings.ToDictionary(StringComparer.Ordinal);
        var now = plan.Settings.ToDictionary(StringComparer.Ordinal);
        return before.Keys.Union(now.Keys)
            .Where(name => !string.Equals(before.GetValueOrDefault(name), now.GetValueOrDefault(name), StringComparison.Ordinal))
            .Select(name => $"{name} was '{before.GetValueOrDefault(name, "not set")}' and is '{now.GetValueOrDefault(name, "not set")}'");
    }

    private static void Compare(List<string> differences, string what, string kept, string now)
    {
        if (!string.Equals(kept, now, StringComparison.Ordinal))
        {
            differences.Add($"{what} (SHA-256 was {Short(kept)} and is {Short(now)})");
        }
    }

    private static string Short(string hash) => hash.Length > 12 ? hash[..12] : hash.Length == 0 ? "none" : hash;
}
