using System.Text;
using DistTune.Core.Configuration;

namespace DistTune.Core.Tests.Examples;

/// <summary>What the shipped instruction set and corpus promise to whoever measures with them.</summary>
public sealed class AgricultureDataTests
{
    private static readonly IReadOnlyList<AdviceRow> Train = AdviceRow.Read("train.jsonl");
    private static readonly IReadOnlyList<AdviceRow> HeldOut = AdviceRow.Read("held-out.jsonl");

    [Fact]
    public void Set_is_large_enough_to_show_something()
    {
        Assert.True(Train.Count + HeldOut.Count >= 400, $"{Train.Count} + {HeldOut.Count} rows");
        Assert.InRange(HeldOut.Count, 50, 100);
    }

    [Fact]
    public void No_question_and_no_id_occurs_twice()
    {
        var rows = Train.Concat(HeldOut).ToList();
        Assert.Empty(rows.GroupBy(row => row.Question, StringComparer.Ordinal).Where(same => same.Count() > 1).Select(same => same.Key));
        Assert.Empty(rows.GroupBy(row => row.Id, StringComparer.Ordinal).Where(same => same.Count() > 1).Select(same => same.Key));
    }

    [Fact]
    public void Held_out_combinations_of_subject_and_topic_are_never_trained()
    {
        var trained = Train.Select(row => (row.Subject, row.Topic)).ToHashSet();
        Assert.DoesNotContain(HeldOut, row => trained.Contains((row.Subject, row.Topic)));
    }

    [Fact]
    public void Every_held_out_subject_and_topic_is_trained_in_other_combinations()
    {
        Assert.Empty(HeldOut.Select(row => row.Subject).Except(Train.Select(row => row.Subject)));
        Assert.Empty(HeldOut.Select(row => row.Topic).Except(Train.Select(row => row.Topic)));
    }

    [Fact]
    public void Answers_are_one_to_four_sentences_of_a_readable_length()
    {
        foreach (var row in Train.Concat(HeldOut))
        {
            Assert.True(row.Question.EndsWith('?'), row.Id);
            Assert.True(row.Answer.EndsWith('.'), row.Id);
            Assert.True(char.IsUpper(row.Question[0]) && char.IsUpper(row.Answer[0]), row.Id);
            Assert.InRange(row.Answer.Split(' ').Length, 15, 60);
        }
    }

    [Theory]
    [InlineData("train.jsonl")]
    [InlineData("held-out.jsonl")]
    [InlineData("corpus.txt")]
    [InlineData("../base/conversations.txt")]
    public void Text_is_composed_and_free_of_stray_bytes(string file)
    {
        var strict = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
        var text = strict.GetString(File.ReadAllBytes(Path.Combine(AdviceRow.Folder, file)));
        Assert.True(text.IsNormalized(NormalizationForm.FormC));
        Assert.DoesNotContain(text, character => char.IsControl(character) && character != '\n');
        Assert.DoesNotContain("  ", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Corpus_holds_no_held_out_question_or_answer_word_for_word()
    {
        var corpus = File.ReadAllText(Path.Combine(AdviceRow.Folder, "corpus.txt"))
            + File.ReadAllText(Path.Combine(AdviceRow.Folder, "../base/conversations.txt"));
        Assert.DoesNotContain(HeldOut, row => corpus.Contains(row.Answer, StringComparison.Ordinal) || corpus.Contains(row.Question, StringComparison.Ordinal));
    }

    [Fact]
    public void Shipped_run_is_a_valid_configuration_of_the_shipped_files()
    {
        var run = RunConfigLoader.Load(Path.Combine(AdviceRow.Folder, "run.yaml"), []);
        Assert.All(run.Datasets.Concat(run.EvaluationDatasets), dataset => Assert.True(File.Exists(dataset.Path), dataset.Path));
        Assert.True(run.GradientAccumulationSteps >= 4, "a step needs as many groups as a demo has lanes");
    }
}
