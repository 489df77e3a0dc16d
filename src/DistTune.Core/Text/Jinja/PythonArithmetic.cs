using System.Globalization;

namespace DistTune.Core.Text.Jinja;

/// <summary>Python's arithmetic on the values that a template sees.</summary>
internal static class PythonArithmetic
{
    private const int MaximumItems = 1_000_000;

    internal static object? Apply(RenderContext context, string symbol, object? left, object? right)
    {
        if ((left as Undefined ?? right as Undefined) is { } undefined && !(symbol == "%" && left is string))
        {
            throw undefined.Fault();
        }

        if (Values.IsNumber(left) && Values.IsNumber(right))
        {
            return left is double || right is double || symbol == "/"
                ? OnDoubles(symbol, Values.ToDouble(left), Values.ToDouble(right))
                : OnIntegers(symbol, Values.ToLong(left), Values.ToLong(right));
        }

        switch (symbol, left, right)
        {
            case ("+", string a, string b):
                context.ChargeText((long)a.Length + b.Length);
                return a + b;
            case ("+", PyList a, PyList b):
                return new PyList(Bounded(context, a.Items.Count + (long)b.Items.Count, a.Items.Concat(b.Items)));
            case ("+", PyTuple a, PyTuple b):
                return new PyTuple([.. Bounded(context, a.Items.Length + (long)b.Items.Length, a.Items.Concat(b.Items))]);
            case ("*", string text, long count):
                return Repeat(context, text, count);
            case ("*", long count, string text):
                return Repeat(context, text, count);
            case ("*", PyList list, long count):
                var times = Math.Clamp(count, 0, MaximumItems + 1L);
                return new PyList(Bounded(context, list.Items.Count * times, Enumerable.Repeat(list.Items, (int)times).SelectMany(items => items)));
            case ("%", string format, _):
                return PythonFormat.Percent(context, format, right is PyTuple tuple ? tuple.Items : [right]);
            case ("+", string, _):
                throw new TemplateException("TypeError", $"can only concatenate str (not \"{Values.TypeName(right)}\") to str");
            case ("+", PyList, _):
                throw new TemplateException("TypeError", $"can only concatenate list (not \"{Values.TypeName(right)}\") to list");
            default:
                throw new TemplateException("TypeError", $"unsupported operand type(s) for {(symbol == "**" ? "** or pow()" : symbol)}: '{Values.TypeName(left)}' and '{Values.TypeName(right)}'");
        }
    }

    /// <summary><c>left % right</c> of two numbers.</summary>
    internal static object Remainder(object? left, object? right) => OnIntegers("%", Values.ToLong(left), Values.ToLong(right));

    internal static object Negate(long number) => OnIntegers("-", 0, number);

    private static object OnIntegers(string symbol, long left, long right)
    {
        try
        {
            switch (symbol)
            {
                case "+":
                    return checked(left + right);
                case "-":
                    return checked(left - right);
                case "*":
                    return checked(left * right);
                case "//" when right != 0:
                    return checked(left / right) - (left % right != 0 && (left < 0) != (right < 0) ? 1 : 0);
                case "%" when right != 0:
                    var rest = right == -1 ? 0 : left % right;
                    return rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;
                case "**" when right < 0:
                    return Math.Pow(left, right);
                case "**":
                    return Power(left, right);
                default:
                    throw new TemplateException("ZeroDivisionError", symbol == "%" ? "integer modulo by zero" : "integer division or modulo by zero");
            }
        }
        catch (OverflowException)
        {
            throw new TemplateException("OverflowError", string.Create(CultureInfo.InvariantCulture, $"{left} {symbol} {right} does not fit into 64 bits"));
        }
    }

    private static long Power(long value, long exponent)
    {
        var result = 1L;
        for (var i = 0L; i < exponent; i++)
        {
            if (value is 0 or 1 or -1)
            {
                return value == 0 ? 0 : value == 1 || exponent % 2 == 0 ? 1 : -1;
            }

            result = checked(result * value);
        }

        return result;
    }

    private static object OnDoubles(string symbol, double left, double right)
    {
        if (right == 0 && symbol is "/" or "//" or "%")
        {
            throw new TemplateException("ZeroDivisionError", symbol == "/" ? "division by zero" : "float floor division by zero");
        }

        var remainder = symbol is "%" ? left % right : 0;
        return symbol switch
        {
            "+" => left + right,
            "-" => left - right,
            "*" => left * right,
            "/" => left / right,
            "//" => Math.Floor(left / right),
            "%" => remainder != 0 && (remainder < 0) != (right < 0) ? remainder + right : remainder,
            _ => Math.Pow(left, right),
        };
    }

    private static string Repeat(RenderContext context, string text, long count)
    {
        count = Math.Max(0, count);
        context.ChargeText(count > RenderContext.MaximumTextLength ? long.MaxValue : text.Length * count);
        return string.Concat(Enumerable.Repeat(text, (int)count));
    }

    private static IEnumerable<object?> Bounded(RenderContext context, long count, IEnumerable<object?> items)
    {
        context.Charge(count * Expression.Cost);
        return count <= MaximumItems ? items : throw new TemplateException("OverflowError", string.Create(CultureInfo.InvariantCulture, $"a list grew beyond {MaximumItems} items"));
    }
}
