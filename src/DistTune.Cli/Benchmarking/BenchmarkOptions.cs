namespace DistTune.Cli.Benchmarking;

/// <summary>What is measured.</summary>
/// <param name="Batch">Rows of a step.</param>
/// <param name="Sequence">Tokens of a row, without a file of rows.</param>
/// <param name="Steps">Steps that count, after the warm-up.</param>
/// <param name="Threads">Threads.</param>
/// <param name="Rank">LoRA rank.</param>
/// <param name="Rows">A JSON Lines file of rows, or null.</param>
/// <param name="Checkpointing">Whether layers are recomputed.</param>
internal sealed record BenchmarkOptions(int Batch, int Sequence, int Steps, int Threads, int Rank, string? Rows, bool Checkpointing);
