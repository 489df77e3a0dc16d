using System.Collections.Immutable;
using System.CommandLine;
using System.Text.Json;
using DistTune.Cli.Running;
using DistTune.Core;
using DistTune.Core.Data;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Planning;
using DistTune.Core.Text;
using DistTune.Core.Training;
using DistTune.Modeling;
using DistTune.Modeling.Adapters;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune generate</c>: answers prompts, token by token as they come.</summary>
internal static class GenerateVerb
{
    private static readonly Option<string> Model = new("--model") { Description = "Model folder or GGUF file.", Required = true, HelpName = "PATH" };
    private static readonly Option<string[]> Adapter = new("--adapter") { Description = "PEFT folder; repeated, all are active at once, each by its weight (DIR=0.7).", HelpName = "DIR[=W]" };
    private static readonly Option<string[]> Prompt = new("--prompt") { Description = "What to answer; may be repeated. Without it, each line of standard input is a prompt.", HelpName = "TEXT" };
    private static readonly Option<string?> System = new("--system") { Description = "System message.", HelpName = "TEXT" };
    private static readonly Option<bool> Raw = new("--raw") { Description = "Continue the text as it is, without the chat template." };
    private static readonly Option<int> MaxNewTokens = new("--max-new-tokens") { Description = "Longest answer.", DefaultValueFactory = _ => 128, HelpName = "N" };
    private static readonly Option<double> Temperature = new("--temperature") { Description = "0 takes the likeliest token.", DefaultValueFactory = _ => 0, HelpName = "T" };
    private static readonly Option<double> TopP = new("--top-p") { Description = "Smallest set of tokens with this probability.", DefaultValueFactory = _ => 1, HelpName = "P" };
    private static readonly Option<long> Seed = new("--seed") { Description = "Seed of the sampling.", DefaultValueFactory = _ => 3407, HelpName = "N" };

    public static Command Create()
    {
        var command = new Verb(
            "generate",
            """
            Answers prompts with a base model and the adapters that are given; prints the answer as it comes.

            Examples:
              disttune generate --model ./model --adapter outputs/run/adapter --prompt "Buğday ne zaman ekilir?"
              disttune generate --model ./model --adapter advice=0.7 --adapter tone=0.3 --prompt "Buğday ne zaman ekilir?"
              disttune generate --model ./model --prompt "Once upon a time" --raw --temperature 0.8 --top-p 0.95
            """)
        {
            Model, Adapter, Prompt, System, Raw, MaxNewTokens, Temperature, TopP, Seed,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var path = parsed.GetRequiredValue(Model);
        var settings = Settings(parsed);
        var spec = ModelFamilies.Describe(path);
        var tokenizer = BaseText.Tokenizer(path);
        settings = settings with { StopTokens = RunPlanner.StopTokens(spec, tokenizer) };
        var encode = Encoder(parsed, path, tokenizer);
        var adapters = LoadAdapters(parsed.GetValue(Adapter) ?? [], spec);
        BaseModel model;
        using (var weights = WeightSources.Open(path))
        {
            model = BaseModel.Load(weights, spec);
        }

        using (model)
        {
            var (computer, version) = TorchGroupComputer.Over(model, adapters);
            await using var running = computer.ConfigureAwait(false);
            var output = parsed.InvocationConfiguration.Output;
            var index = 0;
            foreach (var prompt in Prompts(parsed))
            {
                var segment = new Segment(encode(prompt), [], index);
                var group = new GroupSpec("generate", 0, index++, GroupKind.Generate, [new MicroBatch([segment])], settings);
                var printer = new TokenPrinter(output, tokenizer);
                await computer.ComputeAsync(group, version, printer, cancellationToken).ConfigureAwait(false);
                printer.End();
            }
        }

        return ExitCodes.Success;
    }

    private static GenerationSettings Settings(ParseResult parsed)
    {
        var (length, temperature, topP) = (parsed.GetValue(MaxNewTokens), parsed.GetValue(Temperature), parsed.GetValue(TopP));
        return length >= 1 && temperature is >= 0 and <= 100 && topP is > 0 and <= 1
            ? new GenerationSettings(length, [], temperature, topP, unchecked((ulong)parsed.GetValue(Seed)))
            : throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"--max-new-tokens must be at least 1, --temperature in 0..100 and --top-p above 0 and up to 1; got {length}, {temperature} and {topP}."));
    }

    private static Func<string, ImmutableArray<int>> Encoder(ParseResult parsed, string path, Tokenizer tokenizer)
    {
        if (parsed.GetValue(Raw))
        {
            return text => [.. tokenizer.Encode(text, addSpecialTokens: true)];
        }

        var encoder = new SampleEncoder(tokenizer, BaseText.Template(path, null, tokenizer), new SampleSettings(int.MaxValue));
        var system = parsed.GetValue(System);
        return text => encoder.EncodePrompt(
        [
            .. system is null ? [] : (JsonElement[])[Message("system", system)],
            Message("user", text),
        ]);
    }

    private static JsonElement Message(string role, string content) => JsonSerializer.SerializeToElement(new { role, content });

    // Without an adapter the smallest one there is, at zero: the base computes as it is.
    private static ImmutableArray<LoadedAdapter> LoadAdapters(string[] arguments, DecoderSpec spec)
    {
        if (arguments is [])
        {
            var none = new AdapterSettings(AdapterKind.Lora, 1, 1, [spec.Linears[0].Name]);
            var smallest = AdapterLayout.Create(spec, none);
            return [new LoadedAdapter(smallest, none, AdapterHash.Version(new float[smallest.Length]))];
        }

        return AdapterArguments.LoadActive(arguments, spec);
    }

    private static IEnumerable<string> Prompts(ParseResult parsed)
    {
        if (parsed.GetValue(Prompt) is { Length: > 0 } prompts)
        {
            return prompts;
        }

        return Console.IsInputRedirected
            ? Lines()
            : throw new DistTuneException(FaultKind.Configuration, "There is no prompt. Give --prompt \"...\", or lines on standard input.");
    }

    private static IEnumerable<string> Lines()
    {
        while (Console.In.ReadLine() is { } line)
        {
            if (line.Length > 0)
            {
                yield return line;
            }
        }
    }

    /// <summary>Prints text as soon as the tokens that make it up are there.</summary>
    private sealed class TokenPrinter(TextWriter output, Tokenizer tokenizer) : ITokenSink
    {
        private readonly StreamDecoder _decoder = tokenizer.CreateStreamDecoder(skipSpecialTokens: true);

        public void Append(long sample, int token)
        {
            output.Write(_decoder.Append(token));
            output.Flush();
        }

        public void End()
        {
            output.WriteLine(_decoder.Flush());
            output.Flush();
        }

        public void Write(long offset, ReadOnlySpan<float> values) => throw new InvalidOperationException("Generation has no gradient.");

        public void Progress()
        {
        }
    }
}
