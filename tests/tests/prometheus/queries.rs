//! What is asked of both, Prometheus and Causeway? Families of queries: each function with several selectors and ranges, aggregations,
//! joins, subqueries, modifiers, and what is wrong.

/// What Prometheus 2.42 answers otherwise than version 3, whose language Causeway speaks; none of it may be among [`queries`].
///
/// Ranges and lookback reach to their left edge in 2.42 and not in 3: the times are chosen such that no sample stands on an edge.
/// Both names of `le="1"` and `le="1.0"` do not matter here, as Prometheus 2.42 named the series.
pub const CHANGED: &[(&str, &str)] = &[
    ("holt_winters", "is called double_exponential_smoothing"),
    ("double_exponential_smoothing", "is called holt_winters in 2.42"),
    ("\"__name__\", \"(.*)\"", "the name of a function's result goes after label_replace and not before"),
    ("by (__name__)", "the same in aggregations"),
    (
        "increase(shop_temperature",
        "extrapolation towards zero, where a counter nears it within half the distance of samples",
    ),
    ("rate(shop_temperature", "the same"),
    ("shop_temperature_celsius atan2", "the name goes, as with all other operators"),
    ("stddev by (shop) (shop_unruly)", "of one value that is no finite number is NaN and not zero"),
    ("bad-name", "is a label's name in 3, which takes any UTF-8"),
];

const COUNTERS: &[&str] = &[
    "shop_requests_total",
    "shop_requests_total{code=~\"2..|404\",method!=\"PUT\"}",
    "shop_born_total",
    "shop_late_total",
    "shop_latency_seconds_bucket{route=\"/cart\"}",
    "{__name__=\"shop_size_bytes_sum\",job=\"two\"}",
];

const GAUGES: &[&str] = &[
    "shop_temperature_celsius",
    "shop_temperature_celsius{room=~\".*e.*\",shop!~\"1|2\"}",
    "shop_unruly",
    "shop_now_and_then",
    "shop_odd{path=\"/a\\\\b\\\"c\\nd\"}",
    "up",
];

const RANGES: &[&str] = &["2s", "7s500ms", "1m"];

/// Functions of other arguments, literals, and selectors with labels that are hard to write.
const OTHERS: &[&str] = &[
    "round(shop_temperature_celsius, 0.5)",
    "clamp(shop_temperature_celsius, -3, 19.5)",
    "clamp_min(shop_unruly, 0.5)",
    "clamp_max(shop_unruly, 0.5)",
    "clamp(shop_temperature_celsius, 5, 1)",
    "time()",
    "pi() * 2",
    "vector(time() - 3)",
    "scalar(shop_born_total{shop=\"1\"}) + 1",
    "1 + 2 ^ 3 ^ 2 % 7",
    "-2 ^ 2",
    "\"some text\"",
    "absent(shop_none{a=\"b\",c=~\"d\"})",
    "absent_over_time(shop_none{a=\"b\"}[5s])",
    "label_replace(shop_odd, \"first\", \"$1-$2\", \"path\", \"(?s)/(.)(.*)\")",
    "label_replace(shop_temperature_celsius, \"room\", \"\", \"room\", \"kitchen\")",
    "label_replace(shop_temperature_celsius, \"where\", \"${name}!\", \"room\", \"(?P<name>s.*)\")",
    "label_join(shop_requests_total, \"both\", \"-\", \"method\", \"none\", \"code\")",
    "label_join(shop_odd, \"animal\", \"\")",
    "{__name__=\"shop_odd\",animal=~\".*🐎\"}",
    "{animal!=\"\"}",
    "shop_odd{animal=\"\"}",
    "shop_requests_total{method=~\"get\"}",
    "shop_requests_total{method=~\"(?i)get\"}",
    "shop_requests_total{nothing=\"\",code!~\"2.*\"}",
    "shop_size_bytes{quantile=\"0.9\"}",
    "{job=~\"one|two\",__name__!~\"shop_.*\",__name__!=\"scrape_duration_seconds\"}",
    "scrape_samples_scraped",
];

fn over_ranges(queries: &mut Vec<String>) {
    let of_counters = ["rate", "increase", "irate", "resets", "changes", "delta", "last_over_time"];
    let of_gauges = [
        "delta",
        "idelta",
        "deriv",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "sum_over_time",
        "count_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "present_over_time",
        "changes",
        "absent_over_time",
    ];
    for range in RANGES {
        for (functions, selectors) in [(&of_counters[..], COUNTERS), (&of_gauges[..], GAUGES)] {
            for function in functions {
                for selector in selectors {
                    queries.push(format!("{function}({selector}[{range}])"));
                }
            }
        }
        for selector in &GAUGES[..3] {
            queries.push(format!("quantile_over_time(0.3, {selector}[{range}])"));
            queries.push(format!("predict_linear({selector}[{range}], 30)"));
        }
    }
}

fn of_vectors(queries: &mut Vec<String>) {
    let functions = [
        "abs",
        "ceil",
        "floor",
        "exp",
        "sqrt",
        "ln",
        "log2",
        "log10",
        "sgn",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "deg",
        "rad",
        "timestamp",
        "absent",
        "scalar",
        "sort",
        "sort_desc",
        "-",
        "+",
    ];
    for function in functions {
        for selector in [GAUGES[0], GAUGES[2], "shop_born_total{shop=\"2\"}"] {
            queries.push(format!("{function}({selector})"));
        }
    }
    let dates = ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"];
    for function in dates {
        queries.push(format!("{function}()"));
        queries.push(format!("{function}(shop_requests_total * 100003)"));
    }
    queries.extend(OTHERS.iter().map(|query| (*query).to_owned()));
}

fn aggregations(queries: &mut Vec<String>) {
    for operator in ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"] {
        let unruly = if operator.starts_with("std") { "(shop_unruly > 0 < Inf)" } else { GAUGES[2] };
        for selector in [COUNTERS[0], GAUGES[0], unruly, "rate(shop_requests_total[5s])", "shop_late_total"] {
            for grouping in ["", " by (shop)", " without (instance, room, code)", " by (nothing, room)"] {
                queries.push(format!("{operator}{grouping} ({selector})"));
            }
        }
    }
    for operator in ["topk", "bottomk"] {
        for (count, grouping) in [("2", ""), ("1", " by (shop)"), ("3", " without (room)"), ("0", ""), ("1000", "")] {
            queries.push(format!("{operator}{grouping} ({count}, shop_temperature_celsius)"));
        }
    }
    for quantile in ["0", "0.25", "0.9", "1", "-1", "1.5"] {
        queries.push(format!("quantile by (shop) ({quantile}, shop_temperature_celsius)"));
        queries.push(format!("quantile without (le) ({quantile}, shop_latency_seconds_bucket)"));
    }
    queries.push("count_values(\"size\", scrape_samples_scraped)".to_owned());
    queries.push("count_values by (job) (\"value\", shop_unruly)".to_owned());
    queries.push("count_values without (instance) (\"room\", floor(shop_temperature_celsius))".to_owned());
}

fn operators(queries: &mut Vec<String>) {
    queries.push("shop_temperature_celsius * 1 atan2 shop_temperature_celsius offset 3s".to_owned());
    for operator in ["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<="] {
        queries.push(format!("shop_temperature_celsius {operator} shop_temperature_celsius offset 3s"));
        queries.push(format!("shop_temperature_celsius {operator} 12.5"));
        queries.push(format!("7 {operator} shop_unruly"));
        queries.push(format!(
            "shop_unruly {operator} on (shop) group_right sum by (shop, room) (shop_temperature_celsius)"
        ));
    }
    for operator in ["==", "!=", ">", "<", ">=", "<="] {
        queries.push(format!("shop_temperature_celsius {operator} bool 12.5"));
        queries.push(format!("shop_unruly {operator} bool on (shop) shop_born_total"));
        queries.push(format!("1 {operator} bool 2"));
    }
    for operator in ["and", "or", "unless"] {
        queries.push(format!("shop_temperature_celsius {operator} shop_temperature_celsius{{room=\"kitchen\"}}"));
        queries.push(format!("shop_temperature_celsius {operator} on (shop) shop_now_and_then"));
        queries.push(format!("shop_requests_total {operator} ignoring (code, method) shop_born_total > 30"));
        queries.push(format!("shop_now_and_then {operator} shop_late_total {operator} up"));
    }
    let joins = [
        "shop_requests_total / ignoring (method, code) group_left shop_born_total",
        "shop_requests_total / on (shop) group_left (kind) shop_late_total",
        "shop_latency_seconds_sum / shop_latency_seconds_count",
        "sum by (shop) (rate(shop_requests_total{code=\"500\"}[5s])) / sum by (shop) (rate(shop_requests_total[5s]))",
        "shop_requests_total{code=\"200\"} / ignoring (code) shop_requests_total{code=\"404\"}",
        "shop_temperature_celsius * on (instance, job) group_left (animal) shop_odd{animal!=\"\"}",
        "count(up == 0) or vector(0)",
        "(shop_unruly > 0.5) < bool 0.7",
        "rate(shop_late_total[5s]) > 0 and on (shop) up == 1",
        "-shop_temperature_celsius ^ 2",
    ];
    queries.extend(joins.map(str::to_owned));
}

fn histograms(queries: &mut Vec<String>) {
    for quantile in ["0", "0.1", "0.5", "0.99", "1", "-0.5", "2", "NaN"] {
        queries.push(format!("histogram_quantile({quantile}, shop_latency_seconds_bucket)"));
        queries.push(format!("histogram_quantile({quantile}, rate(shop_latency_seconds_bucket[5s]))"));
        queries.push(format!(
            "histogram_quantile({quantile}, sum by (le, route) (increase(shop_latency_seconds_bucket[10s])))"
        ));
    }
    queries.push("histogram_quantile(0.5, shop_latency_seconds_bucket{le!=\"+Inf\"})".to_owned());
    queries.push("histogram_quantile(scalar(shop_unruly{shop=\"1\"}), shop_latency_seconds_bucket)".to_owned());
}

/// `inner` is a range whose edges no sample meets where subqueries are evaluated, `at` a time between those of the samples. What an inner
/// subquery gives stands at whole seconds, which must not be the edges of an outer one.
fn subqueries(queries: &mut Vec<String>, inner: &str, at: &str) {
    for function in [
        "max_over_time",
        "avg_over_time",
        "sum_over_time",
        "stddev_over_time",
        "count_over_time",
        "deriv",
        "last_over_time",
    ] {
        queries.push(format!("{function}(rate(shop_requests_total[{inner}])[12s:1s])"));
        queries.push(format!("{function}(shop_temperature_celsius[9s:1500ms])"));
        queries.push(format!("{function}(sum by (shop) (shop_requests_total)[10s:2s] offset 4s)"));
    }
    queries.push(format!("max_over_time(avg_over_time(shop_temperature_celsius[{inner}])[8s:1s])"));
    queries.push(format!("quantile_over_time(0.7, (shop_unruly > 0)[10s:1s] @ {at})"));
    queries.push(format!("sum_over_time(count_over_time(increase(shop_born_total[{inner}])[5500ms:1s])[10s:2s])"));
    queries.push("absent_over_time(shop_now_and_then[3s:500ms])".to_owned());
    queries.push("increase(shop_requests_total[10s:1s])".to_owned());
    for modifier in [
        format!("@ {at}"),
        format!("@ {at} offset 5s"),
        "@ start()".to_owned(),
        "@ end()".to_owned(),
        "offset 5s".to_owned(),
        "offset -2s".to_owned(),
    ] {
        queries.push(format!("shop_temperature_celsius {modifier}"));
        queries.push(format!("rate(shop_requests_total[5s] {modifier})"));
        queries.push(format!("shop_now_and_then - on (shop) (shop_now_and_then {modifier})"));
        queries.push(format!("sum_over_time(shop_unruly[6s:1s] {modifier})"));
        queries.push(format!("absent(shop_late_total {modifier})"));
    }
}

/// Those that have a value, as instant and as range queries where they can be both.
pub fn queries(inner: &str, at: &str) -> Vec<String> {
    let mut queries = Vec::new();
    over_ranges(&mut queries);
    of_vectors(&mut queries);
    aggregations(&mut queries);
    operators(&mut queries);
    histograms(&mut queries);
    subqueries(&mut queries, inner, at);
    for (words, why) in CHANGED {
        assert!(!queries.iter().any(|query| query.contains(words)), "{words}: {why}");
    }
    queries
}

/// Those that only an instant query may ask.
pub const RAW: &[&str] = &[
    "{job=~\".+\",__name__!=\"scrape_duration_seconds\"}[5m]",
    "shop_temperature_celsius[10s]",
    "shop_requests_total[3s] offset 5s",
    "(shop_unruly > 0)[8s:1s]",
    "\"text\"",
];

/// Those that fail, as they stand or for what the data is.
pub const WRONG: &[&str] = &[
    "",
    "sum(",
    "shop_requests_total{",
    "{}",
    "{a=~\".*\"}",
    "rate(shop_requests_total)",
    "shop_requests_total[5s]offset",
    "no_function(1)",
    "sum(1)",
    "shop_temperature_celsius and 1",
    "1 == 2",
    "shop_temperature_celsius + on (shop) shop_temperature_celsius",
    "shop_unruly * on (job) group_left shop_temperature_celsius",
    "label_replace(shop_unruly, \"a\", \"\", \"b\", \"(\")",
    "label_replace(shop_temperature_celsius, \"room\", \"same\", \"shop\", \".*\")",
    "{job=\"one\",__name__=~\"shop_latency_seconds_(sum|count)\"} * 2 offset 3s",
    "rate({job=\"one\",__name__=~\"shop_latency_seconds_(sum|count)\"}[5s])",
    "shop_unruly{a=~\"(\"}",
    "shop_unruly @ now",
    "topk(shop_unruly, 2)",
];
