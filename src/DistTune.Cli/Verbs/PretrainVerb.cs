using System.CommandLine;
using System.Globalization;
using System.Text;
using DistTune.Cli.Output;
using DistTune.Cli.Running;
using DistTune.Core.Configuration;
using DistTune.Core.Planning;
using DistTune.Engine;
using DistTune.Modeling;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune pretrain</c>: a tokenizer and a base from nothing but text.</summary>
internal static class PretrainVerb
{
    private static readonly Argument<string> File = new("recipe") { Description = "The recipe's YAML file." };
    private static readonly Option<bool> DryRun = new("--dry-run") { Description = "Train the tokenizer, print the plan, write nothing." };
    private static readonly Option<int?> Threads = new("--threads") { Description = "Threads; all cores by default. The base does not depend on it.", HelpName = "N" };
    private static readonly ConfigOptions Keys = new(PretrainKeys.All);

    public static Command Create()
    {
        var command = new Verb(
            "pretrain",
            """
            Trains a byte-level BPE tokenizer and a Llama-architecture base from scratch; writes a Hugging Face folder in bf16.

            Examples:
              disttune pretrain examples/base/pretrain.yaml --dry-run
              disttune pretrain examples/base/pretrain.yaml --num-epochs 2 --output-dir ./model
            """)
        {
            File, DryRun, Threads,
        };
        Keys.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var error = parsed.InvocationConfiguration.Error;
        var config = PretrainConfig.Load(ConfigSource.FromFile(parsed.GetRequiredValue(File)), Keys.Read(parsed), Environment.CurrentDirectory);
        var run = PretrainPlanner.Create(config);
        error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{Banner.Count(run.Plan.Layout.ParameterCount)} parameters, vocabulary {run.Spec.VocabularySize}; {run.Data.TrainingRows} rows of up to {config.SequenceLength} tokens ({Banner.Count(run.Data.Tokens)}), {run.Data.HeldOutRows} held out; {run.Plan.Steps} steps of {config.MicroBatchSize} x {config.GradientAccumulationSteps} rows"));
        if (parsed.GetValue(DryRun))
        {
            return ExitCodes.Success;
        }

        Directory.CreateDirectory(config.OutputFolder);
        using var lines = new StreamWriter(Path.Combine(config.OutputFolder, PretrainLog.FileName), append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        var observer = new CompositeRunObserver(new TrainingProgress(error, config.LoggingSteps), new PretrainLog(lines, run));
        await using var computers = LocalComputers.Share(BaseModel.WithoutWeights(run.Spec), run.Plan, Cores.Share(1, parsed.GetValue(Threads)));
        var result = await InProcessTraining.RunAsync(run.Plan, run.InitialWeights, computers.Computers, observer, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        run.WriteModel(result.Adapter);
        parsed.InvocationConfiguration.Output.WriteLine($"Wrote {config.OutputFolder}");
        return ExitCodes.Success;
    }
}
