using System.CommandLine;
using DistTune.Core.Formats;
using DistTune.Core.Text;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune import</c>: models of other formats become a Hugging Face folder.</summary>
internal static class ImportVerb
{
    private static readonly Argument<string> File = new("file") { Description = "The .gguf file." };
    private static readonly Option<string> Folder = new("--output-dir") { Description = "The folder to write.", Required = true, HelpName = "PATH" };
    private static readonly Option<string> Type = new("--dtype") { Description = "Type of the weights.", DefaultValueFactory = _ => "float32" };

    public static Command Create()
    {
        Type.AcceptOnlyFromAmong("float32", "bfloat16", "float16");
        var gguf = new Verb(
            "gguf",
            """
            Reads a GGUF model (F32, F16, BF16, Q8_0, Q4_0, Q4_1) with its tokenizer and writes a Hugging Face folder.

            Examples:
              disttune import gguf model-q8_0.gguf --output-dir ./model
              disttune import gguf model-q4_1.gguf --output-dir ./model --dtype bfloat16
            """)
        {
            File, Folder, Type,
        };
        gguf.SetAction(Run);
        return new Command("import", "Reads models of other formats.") { gguf };
    }

    private static Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (file, folder) = (parsed.GetRequiredValue(File), parsed.GetRequiredValue(Folder));
        var type = parsed.GetValue(Type) switch
        {
            "bfloat16" => WeightType.BFloat16,
            "float16" => WeightType.Float16,
            _ => WeightType.Float32,
        };
        GgufImport.ToModelFolder(file, folder, type, cancellationToken);
        using (var gguf = GgufFile.Open(file))
        {
            GgufTokenizer.Load(gguf.Metadata).Write(folder);
        }

        parsed.InvocationConfiguration.Output.WriteLine($"Wrote {Path.GetFullPath(folder)}");
        return Task.FromResult(ExitCodes.Success);
    }
}
