using System.Diagnostics;
using System.Globalization;
using DistTune.Simulation;

// DistTune.Simulation [--seed N] [--count N] [--bug NAME]: runs fault schedules and prints the seed of every one that fails.
var (seed, count, bug) = (0, 1, PlantedBug.None);
for (var i = 0; i + 1 < args.Length; i += 2)
{
    switch (args[i])
    {
        case "--seed":
            seed = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
            break;
        case "--count":
            count = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
            break;
        case "--bug":
            bug = Enum.Parse<PlantedBug>(args[i + 1], ignoreCase: true);
            break;
        default:
            Console.Error.WriteLine($"'{args[i]}' is not known. Usage: DistTune.Simulation [--seed N] [--count N] [--bug NAME]");
            return 2;
    }
}

var started = Stopwatch.GetTimestamp();
var failures = 0;
Parallel.For(seed, seed + count, one =>
{
    try
    {
        FaultSchedule.Run(one, bug);
    }
    catch (PropertyViolatedException fault)
    {
        if (Interlocked.Increment(ref failures) <= 20)
        {
            Console.WriteLine(count == 1 ? fault.ToString() : fault.Message);
        }
    }
});
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{count} schedules, {failures} failures, {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s"));
return failures == 0 ? 0 : 1;
