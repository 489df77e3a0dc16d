using System.Globalization;
using System.Text.Json;
using DistTune.Core;
using DistTune.Goldens;
using DistTune.Goldens.Support;

if (args is ["support", var log, var page, .. var rest])
{
    return Readme.Update(log, page, write: rest is ["--write"]);
}

const string Usage = "usage: disttune test golden --golden DIR [--json]";
string? folder = null;
var json = false;
for (var i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--golden" when i + 1 < args.Length:
            folder = args[++i];
            break;
        case "--json":
            json = true;
            break;
        default:
            Console.Error.WriteLine($"'{args[i]}' is not an option, or lacks its value. {Usage}");
            return 2;
    }
}

if (folder is null)
{
    Console.Error.WriteLine($"--golden is missing: name the folder of cases. {Usage}");
    return 2;
}

using var interrupt = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true;
    interrupt.Cancel();
};

var counts = new int[Enum.GetValues<GoldenVerdict>().Length];
try
{
    await foreach (var outcome in GoldenSuite.RunAsync(folder, interrupt.Token))
    {
        counts[(int)outcome.Outcome]++;
        Console.Out.WriteLine(json ? JsonSerializer.Serialize(GoldenLine.Of(outcome)) : PlainLine(outcome));
    }
}
catch (DistTuneException fault)
{
    Console.Error.WriteLine(fault.Message);
    return 2;
}
catch (OperationCanceledException)
{
    return 130;
}

var (passed, failed, unsupported) = (counts[(int)GoldenVerdict.Passed], counts[(int)GoldenVerdict.Failed], counts[(int)GoldenVerdict.Unsupported]);
Console.Out.WriteLine(json ? JsonSerializer.Serialize(new { passed, failed, unsupported }) : $"{passed} passed, {failed} failed, {unsupported} unsupported");
return failed == 0 ? 0 : 1;

static string PlainLine(GoldenOutcome outcome)
{
    var measured = outcome is { LargestError: { } error, Tolerance: { } tolerance }
        ? string.Create(CultureInfo.InvariantCulture, $" {error:E2} of {tolerance:E2}")
        : "";
    return $"{outcome.Outcome.ToString().ToLowerInvariant(),-11} {outcome.Case}{measured}{(outcome.Why.Length == 0 ? "" : $"  {outcome.Why}")}";
}
