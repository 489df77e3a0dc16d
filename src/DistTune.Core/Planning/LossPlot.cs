using System.Globalization;
using System.Text;

namespace DistTune.Core.Planning;

/// <summary>A loss at a step.</summary>
public readonly record struct LossPoint(int Step, double Loss);

/// <summary>Draws <c>loss.svg</c>: the training loss as a line, the held-out loss as dots.</summary>
public static class LossPlot
{
    private const double Width = 720;
    private const double Height = 360;
    private const double Left = 56;
    private const double Top = 24;
    private const double Right = 16;
    private const double Bottom = 40;
    private const int GridLines = 5;

    /// <summary>The picture as SVG; without points it is only the frame.</summary>
    public static string Render(IReadOnlyList<LossPoint> training, IReadOnlyList<LossPoint> heldOut)
    {
        ArgumentNullException.ThrowIfNull(training);
        ArgumentNullException.ThrowIfNull(heldOut);
        var points = training.Concat(heldOut).Where(point => double.IsFinite(point.Loss)).ToArray();
        var (lowest, highest) = points.Length == 0 ? (0.0, 1.0) : (points.Min(point => point.Loss), points.Max(point => point.Loss));
        var margin = Math.Max((highest - lowest) * 0.05, 1e-3);
        var scale = new Scale(Math.Max(1, points.Length == 0 ? 1 : points.Max(point => point.Step)), lowest - margin, highest + margin);
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        Grid(svg, scale);
        var line = string.Join(' ', training.Where(point => double.IsFinite(point.Loss)).Select(point => FormattableString.Invariant($"{scale.X(point.Step):0.#},{scale.Y(point.Loss):0.#}")));
        svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{line}\" fill=\"none\" stroke=\"#2563eb\" stroke-width=\"1.5\"/>\n");
        foreach (var point in heldOut.Where(point => double.IsFinite(point.Loss)))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{scale.X(point.Step):0.#}\" cy=\"{scale.Y(point.Loss):0.#}\" r=\"4\" fill=\"#dc2626\"><title>held out, step {point.Step}: {point.Loss:0.0000}</title></circle>\n");
        }

        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"16\" fill=\"#2563eb\">training loss (nats per token)</text><text x=\"{Left + 190}\" y=\"16\" fill=\"#dc2626\">held-out loss</text>\n</svg>\n");
        return svg.ToString();
    }

    private static void Grid(StringBuilder svg, Scale scale)
    {
        for (var i = 0; i <= GridLines; i++)
        {
            var loss = scale.Lowest + ((scale.Highest - scale.Lowest) * i / GridLines);
            var step = (int)Math.Round((double)scale.Steps * i / GridLines);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{scale.Y(loss):0.#}\" y2=\"{scale.Y(loss):0.#}\" stroke=\"#e5e7eb\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left - 6}\" y=\"{scale.Y(loss) + 4:0.#}\" text-anchor=\"end\" fill=\"#374151\">{loss:0.00}</text>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{scale.X(step):0.#}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\" fill=\"#374151\">{step}</text>\n");
        }

        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Width / 2}\" y=\"{Height - 6}\" text-anchor=\"middle\" fill=\"#374151\">step</text>\n");
    }

    private readonly record struct Scale(int Steps, double Lowest, double Highest)
    {
        public double X(int step) => Left + ((Width - Left - Right) * step / Steps);

        public double Y(double loss) => Top + ((Height - Top - Bottom) * (Highest - loss) / (Highest - Lowest));
    }
}
