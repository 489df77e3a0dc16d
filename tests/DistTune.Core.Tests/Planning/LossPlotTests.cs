using System.Xml.Linq;
using DistTune.Core.Planning;

namespace DistTune.Core.Tests.Planning;

public sealed class LossPlotTests
{
    [Fact]
    public void Render_PointsAndNoPoints_IsWellFormedXml()
    {
        var plot = XDocument.Parse(LossPlot.Render([new(1, 4.5), new(2, double.NaN), new(3, 3.25)], [new(0, 4.6), new(3, 3.5)]));
        XNamespace svg = "http://www.w3.org/2000/svg";

        Assert.Equal(2, plot.Descendants(svg + "polyline").Single().Attribute("points")!.Value.Split(' ').Length);
        Assert.Equal(2, plot.Descendants(svg + "circle").Count());
        Assert.NotNull(XDocument.Parse(LossPlot.Render([], [])).Root);
    }
}
