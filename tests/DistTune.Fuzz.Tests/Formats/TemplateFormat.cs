using System.Text;
using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Fuzz.Tests.Formats;

internal sealed class TemplateFormat : FuzzFormat
{
    private static readonly TextMutator Text = new(
        "{{", "}}", "{%", "%}", "{#", "#}", "{%- for m in messages %}", "{%- endfor %}", "{% if true %}", "{% endif %}", "{% set x = x ~ x %}", "{% macro f(a) %}", "{% endmacro %}",
        "range(100000)", "x * 1000000", "'a' * 1000000000", "loop.index", "namespace(n=0)", "messages", "messages[0]", "| tojson", "| join", "| length", "is defined", "not", "in",
        "raise_exception('x')", "strftime_now('%Y')", "**", "//", "%", "~", "[::-1]", "[:9223372036854775807]", ".__class__", "9223372036854775807", "-9223372036854775808", "{% generation %}",
        "'%s' % 1", "'{}'.format(1)", ".split()", ".replace('', 'x')", "| indent(1000000)", "| center(2000000000)");

    private static readonly JsonElement[] Messages =
    [
        JsonElement.Parse("""{"role":"system","content":"kısa"}"""),
        JsonElement.Parse("""{"role":"user","content":"Domates ne zaman ekilir?"}"""),
        JsonElement.Parse("""{"role":"assistant","content":"Mayısta.","tool_calls":[{"function":{"name":"f","arguments":{"a":[1,2.5,null]}}}]}"""),
    ];

    public override string Name => "template";

    public override IReadOnlyList<byte[]> Corpus { get; } =
    [
        Golden.Bytes("tokenizers", "templates", "phi3.jinja"),
        Golden.Bytes("sft-data", "tokenizer-llama3", "chat_template_generation.jinja"),
        Utf8("""
             {%- macro show(m, n=2) %}{{ m.role|upper }}:{{ m['content']|trim ~ n * 2 }}{% endmacro -%}
             {%- set ns = namespace(count=0) %}{% for m in messages if m.content is string %}{% set ns.count = ns.count + loop.index0 %}{{ show(m) }}{{ '%d|%s' % (ns.count, m.role) }}{% else %}none{% endfor %}
             {{- messages | map(attribute='role') | list | tojson(indent=1) }}{{ messages[-1:][0].tool_calls | length if messages else '' }}{{ range(3) | join(', ') }}
             """),
    ];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        Of("a loop of loops", "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}"),
        Of("a range of 2^63", "{{ range(9223372036854775807) | length }}"),
        Of("a range backwards by the smallest step", "{{ range(9223372036854775807, -9223372036854775808, -9223372036854775808) | list }}"),
        Of("a billion laughs", "{% set a = 'ha' * 1000 %}" + Repeat("{% set a = a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a %}", 20) + "{{ a }}"),
        Of("a list that doubles", "{% set a = [1] %}" + Repeat("{% set a = a + a %}", 60) + "{{ a | length }}"),
        Of("a list times a billion", "{{ ([0] * 1000000000) | length }}"),
        Of("a text times a billion", "{{ 'x' * 1000000000000 }}"),
        Of("a power tower", "{{ 9 ** 9 ** 9 ** 9 }}"),
        Of("a large power", "{{ 10 ** 1000000000 }}"),
        Of("a shift by multiplication", "{% set ns = namespace(x=2) %}{% for i in range(1000) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}"),
        Of("a division by zero", "{{ 1 // 0 }}{{ 1 % 0 }}{{ 1 / 0 }}"),
        Of("the smallest number by minus one", "{{ -9223372036854775808 // -1 }}{{ (-9223372036854775807 - 1) % -1 }}"),
        Of("a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        Of("macros that call each other", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}"),
        Of("a recursive loop", "{% for a in [[[]]] recursive %}{{ loop([a]) }}{% endfor %}"),
        Of("a value that holds itself", "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns.a }}{{ ns.a | tojson }}{{ ns }}"),
        Of("deep parentheses", "{{ " + Repeat("(", 50_000) + "1" + Repeat(")", 50_000) + " }}"),
        Of("deep lists", "{{ " + Repeat("[", 50_000) + Repeat("]", 50_000) + " }}"),
        Of("deep nots", "{{ " + Repeat("not ", 50_000) + "1 }}"),
        Of("deep minus", "{{ " + Repeat("-", 50_000) + "1 }}"),
        Of("deep attributes", "{{ a" + Repeat(".a", 50_000) + " }}"),
        Of("deep subscripts", "{{ a" + Repeat("[0]", 50_000) + " }}"),
        Of("deep calls", "{{ a" + Repeat("()", 50_000) + " }}"),
        Of("deep filters", "{{ 1" + Repeat("|abs", 50_000) + " }}"),
        Of("deep tests", "{{ 1" + Repeat(" is none", 50_000) + " }}"),
        Of("deep sums", "{{ 1" + Repeat(" + 1", 50_000) + " }}"),
        Of("deep concatenations", "{{ 1" + Repeat(" ~ 1", 50_000) + " }}"),
        Of("deep powers", "{{ 1" + Repeat(" ** 1", 50_000) + " }}"),
        Of("deep comparisons", "{{ 1" + Repeat(" < 1", 50_000) + " }}"),
        Of("deep logic", "{{ 1" + Repeat(" and 1", 50_000) + Repeat(" or 1", 50_000) + " }}"),
        Of("deep conditionals", "{{ 1" + Repeat(" if 1 else 1", 50_000) + " }}"),
        Of("deep conditionals without else", "{{ 1" + Repeat(" if 1", 50_000) + " }}"),
        Of("deep tuples as targets", "{% set " + Repeat("(", 50_000) + "a" + Repeat(")", 50_000) + " = 1 %}"),
        Of("deep ifs", Repeat("{% if 1 %}", 20_000) + Repeat("{% endif %}", 20_000)),
        Of("deep fors", Repeat("{% for a in [1] %}", 20_000) + Repeat("{% endfor %}", 20_000)),
        Of("many elifs", "{% if 0 %}" + Repeat("{% elif 0 %}", 50_000) + "{% endif %}"),
        Of("deep macros", Repeat("{% macro f() %}", 20_000) + Repeat("{% endmacro %}", 20_000)),
        Of("no end", "{% for a in messages %}{{ a"),
        Of("a text without end", "{{ 'abc"),
        Of("a comment without end", "{# abc"),
        Of("a wide format", "{{ '%2000000000d' % 1 }}"),
        Of("a precise format", "{{ '%.2000000000f' % 1.5 }}"),
        Of("a wide format method", "{{ '{:>2000000000}'.format('a') }}"),
        Of("format fields that reach into objects", "{{ '{0.__class__.__mro__}'.format(messages) }}"),
        Of("attributes of the interpreter", "{{ messages.__class__.__base__.__subclasses__() }}"),
        Of("a replacement of nothing", "{% set a = 'a' * 1000000 %}{{ a.replace('', a) }}"),
        Of("a join of large texts", "{% set a = 'a' * 1000000 %}{{ (['a'] * 1000) | join(a) }}"),
        Of("indentation", "{{ ('\\n' * 100000) | indent(100000) }}"),
        Of("white space to the width of memory", "{{ 'a' | center(2147483647) }}{{ 'a'.ljust(2147483647) }}"),
        Of("expansion of tabs", "{{ ('\\t' * 100000).expandtabs(100000) }}"),
        Of("a dictionary of a dictionary", "{% set d = {} %}{{ {1: {2: {3: d}}} }}"),
        Of("sorting everything", "{{ range(100000) | map('string') | sort | reverse | list | length }}"),
        Of("grouping", "{{ range(100000) | groupby('x') }}"),
        Of("dates", "{{ strftime_now('%' * 1000000) }}{{ strftime_now('%Q') }}"),
        Of("batches of nothing", "{{ range(10) | batch(0) | list }}{{ range(10) | slice(0) | list }}"),
        Of("slices with steps of zero", "{{ 'abc'[::0] }}"),
        Of("slices at the edges", "{{ 'abc'[-9223372036854775807:9223372036854775807:9223372036854775807] }}{{ 'abc'[9223372036854775807:-9223372036854775807:-9223372036854775807] }}"),
        Of("an equality of what doubles", "{% set a = [1] %}" + Repeat("{% set a = [a, a] %}", 60) + "{{ a == a }}"),
        Of("an equality of two that double", "{% set a = [1] %}{% set b = [1] %}" + Repeat("{% set a = [a, a] %}{% set b = [b, b] %}", 40) + "{{ a == b }}"),
        Of("an order of two that double", "{% set a = [1] %}{% set b = [1] %}" + Repeat("{% set a = [a, a] %}{% set b = [b, b] %}", 40) + "{{ a < b }}"),
        Of("printing what doubles", "{% set a = [1] %}" + Repeat("{% set a = [a, a] %}", 60) + "{{ a }}"),
        Of("JSON of what doubles", "{% set a = [1] %}" + Repeat("{% set a = [a, a] %}", 60) + "{{ a | tojson }}"),
        Of("keys that collide", "{% set ns = namespace(d={}) %}{{ dict.fromkeys(range(100000)) }}{% set d = {" + string.Join(',', Enumerable.Range(0, 20_000).Select(i => $"({i},):1")) + "} %}{{ d | length }}"),
        Of("a membership in what doubles", "{% set a = [1] %}{% set b = [2] %}" + Repeat("{% set a = [a, a] %}{% set b = [b, b] %}", 40) + "{{ b in [a, a, a] }}{{ [a, b] | unique | list | length }}"),
        new("bytes that are no UTF-8", [.. Utf8("{{ '"), 0xFF, 0xFE, .. Utf8("' }}")]),
    ];

    // A rendering may take 64 Mi units of work; a node costs 16 of them, and a node makes at most a few hundred bytes.
    public override long AllocationBound(int length) => (768L << 20) + (4096L * length);

    public override byte[] Mutate(Random random, byte[] content) => Text.Mutate(random, content);

    public override void Read(byte[] content, string folder) =>
        ChatTemplate.Parse(Encoding.UTF8.GetString(content)).Render(Messages, addGenerationPrompt: true);
}
