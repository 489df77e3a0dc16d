using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Text;

/// <summary>Templates render as Jinja 2 renders them.</summary>
public sealed class JinjaGoldenTests
{
    private static readonly Dictionary<string, JsonElement> NoVariables = [];

    public static TheoryData<string> Names => new(GoldenFiles.Records(Path.Combine(GoldenFiles.Root, "sft-data", "jinja.jsonl")).Select(record => record.Text("name")));

    [Theory]
    [MemberData(nameof(Names))]
    public void Expression_equals_reference(string name)
    {
        var record = GoldenFiles.Records(Path.Combine(GoldenFiles.Root, "sft-data", "jinja.jsonl")).First(entry => entry.Text("name") == name);
        GoldenFiles.UnderTurkishCulture(() =>
        {
            var variables = record.GetProperty("context").EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value);
            if (!record.TryGetProperty("error", out var error))
            {
                Assert.Equal(record.Text("output"), ChatTemplate.Parse(record.Text("template")).Render(variables).Text);
                return true;
            }

            var fault = Assert.Throws<TemplateException>(() => ChatTemplate.Parse(record.Text("template")).Render(variables));
            Assert.Equal(error.Text("type"), fault.ErrorType);
            if (fault.ErrorType is "TemplateError" or "UndefinedError" or "TemplateSyntaxError" or "SecurityError" or "TemplateAssertionError")
            {
                Assert.Equal(error.Text("message"), fault.Reason);
            }

            return true;
        });
    }

    [Theory]
    [InlineData("{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}")]
    [InlineData("{{ 'a' * 99999999 }}")]
    [InlineData("{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}")]
    [InlineData("{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}")]
    [InlineData("{{ 'x'.center(2000000000) }}")]
    [InlineData("{{ '%2000000000d' % 1 }}")]
    [InlineData("{{ 10 ** 1000000000 }}")]
    [InlineData("{% set x = 'a' * 10000000 %}{% for i in range(99999) %}{{ x | length }}{{ x.replace('a', 'b') | length }}{% endfor %}")]
    [InlineData("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}")]
    public void Hostile_template_ends_in_an_error(string source)
    {
        var template = ChatTemplate.Parse(source);
        var fault = Assert.Throws<TemplateException>(() => template.Render(NoVariables));
        Assert.True(fault.ErrorType is "OverflowError" or "RecursionError", fault.Message);
    }

    [Fact]
    public void Deep_nesting_is_refused_when_parsed()
    {
        Assert.Throws<TemplateException>(() => ChatTemplate.Parse("{{ " + new string('(', 100_000) + "1" + new string(')', 100_000) + " }}"));
        Assert.Throws<TemplateException>(() => ChatTemplate.Parse(string.Concat(Enumerable.Repeat("{% if true %}", 100_000))));
        Assert.Throws<TemplateException>(() => ChatTemplate.Parse("{{ " + string.Concat(Enumerable.Repeat("not ", 100_000)) + "1 }}"));
        Assert.Throws<TemplateException>(() => ChatTemplate.Parse("{{ " + string.Concat(Enumerable.Repeat("-", 100_000)) + "1 }}"));
    }

    [Fact]
    public void Error_names_the_line_of_the_template()
    {
        var fault = Assert.Throws<TemplateException>(() => ChatTemplate.Parse("a\nb\n{% if true %}\n{{ 'a' + missing }}\n{% endif %}").Render(NoVariables));
        Assert.Equal(4, fault.Line);
        Assert.Contains("line 4", fault.Message, StringComparison.Ordinal);
    }
}
