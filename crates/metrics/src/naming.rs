//! Under which name and labels does Prometheus know a metric of OTLP? As the specification has it (OpenTelemetry,
//! compatibility/prometheus_and_openmetrics.md, "OTLP Metric points to Prometheus").

/// How names are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Translation {
    /// Characters that older Prometheus refuses become `_`, unit and type are added: `http_server_duration_seconds`.
    #[default]
    UnderscoresWithSuffixes,
    /// The same without unit and type.
    UnderscoresWithoutSuffixes,
    /// Names in UTF-8 as they come, unit and type are added: `http.server.duration_seconds`.
    Utf8WithSuffixes,
    /// Names as they come.
    None,
}

impl Translation {
    /// All, with the words that Prometheus' configuration has for them (`otlp.translation_strategy`).
    pub const ALL: [(&str, Self); 4] = [
        ("UnderscoreEscapingWithSuffixes", Self::UnderscoresWithSuffixes),
        ("UnderscoreEscapingWithoutSuffixes", Self::UnderscoresWithoutSuffixes),
        ("NoUTF8EscapingWithSuffixes", Self::Utf8WithSuffixes),
        ("NoTranslation", Self::None),
    ];

    fn escapes(self) -> bool {
        matches!(self, Self::UnderscoresWithSuffixes | Self::UnderscoresWithoutSuffixes)
    }

    fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoresWithSuffixes | Self::Utf8WithSuffixes)
    }
}

/// How OTLP's metrics become Prometheus' series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// How names are made.
    pub translation: Translation,
    /// Whether the scope's name, version and attributes become labels `otel_scope_…`, as the specification asks for.
    pub scope_labels: bool,
    /// Resource attributes that become labels besides `job` and `instance`; all stand in `target_info` anyway.
    pub resource_labels: Vec<String>,
}

impl Default for Naming {
    fn default() -> Self {
        Self { translation: Translation::default(), scope_labels: true, resource_labels: Vec::new() }
    }
}

/// What a metric is, as far as its name goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedAs {
    Counter,
    Gauge,
    Other,
}

/// Words for units (UCUM) that stand before a `/`.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("1", ""),
];

/// Words for units that stand behind a `/`.
const PER: &[(&str, &str)] =
    &[("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

impl Naming {
    /// The name of a metric's family.
    pub(crate) fn metric(&self, name: &str, unit: &str, named_as: NamedAs) -> String {
        if !self.translation.escapes() {
            let mut whole = name.to_owned();
            if self.translation.adds_suffixes() {
                for suffix in suffixes(unit, named_as, true) {
                    if !whole.ends_with(&format!("_{suffix}")) {
                        whole.push('_');
                        whole.push_str(&suffix);
                    }
                }
            }
            return whole;
        }
        let valid = |character: char| character.is_ascii_alphanumeric() || character == ':';
        let mut tokens: Vec<String> =
            name.split(|character| !valid(character)).filter(|token| !token.is_empty()).map(str::to_owned).collect();
        if self.translation.adds_suffixes() {
            for suffix in suffixes(unit, named_as, false) {
                // A name that says its unit or type already says it once; the type comes last.
                if suffix == TOTAL || suffix == RATIO {
                    tokens.retain(|token| *token != suffix);
                    tokens.push(suffix);
                } else if !tokens.contains(&suffix) {
                    tokens.push(suffix);
                }
            }
        }
        let mut whole = tokens.join("_");
        if whole.starts_with(|first: char| first.is_ascii_digit()) {
            whole.insert(0, '_');
        }
        whole
    }

    /// The name of a label.
    pub(crate) fn label(&self, key: &str) -> String {
        if !self.translation.escapes() {
            return key.to_owned();
        }
        let mut whole = String::with_capacity(key.len());
        for character in key.chars() {
            let character = if character.is_ascii_alphanumeric() { character } else { '_' };
            if !(character == '_' && whole.ends_with('_')) {
                whole.push(character);
            }
        }
        if whole.starts_with(|first: char| first.is_ascii_digit()) {
            whole.insert_str(0, "key_");
        } else if whole.starts_with('_') && !key.starts_with("__") {
            whole.insert_str(0, "key");
        } else if key.starts_with("__") {
            whole.insert(0, '_');
        }
        whole
    }
}

const TOTAL: &str = "total";
const RATIO: &str = "ratio";

/// What is added to a name: unit, then type.
fn suffixes(unit: &str, named_as: NamedAs, utf8: bool) -> Vec<String> {
    let mut suffixes = Vec::new();
    let clean = |unit: &str| -> String {
        let valid = |character: char| utf8 || character.is_ascii_alphanumeric() || character == ':';
        let tokens: Vec<&str> = unit.split(|character| !valid(character)).filter(|token| !token.is_empty()).collect();
        tokens.join("_")
    };
    let word = |words: &[(&str, &str)], unit: &str| -> String {
        let unit = unit.trim();
        // What stands in braces only annotates.
        if unit.contains(['{', '}']) {
            return String::new();
        }
        words.iter().find(|(short, _)| *short == unit).map_or_else(|| clean(unit), |(_, word)| (*word).to_owned())
    };
    let (main, per) = unit.split_once('/').map_or((unit, None), |(main, per)| (main, Some(per)));
    let main = word(UNITS, main);
    if !main.is_empty() {
        suffixes.push(main);
    }
    let per = per.map(|per| word(PER, per)).filter(|per| !per.is_empty());
    if let Some(per) = per {
        suffixes.push(format!("per_{per}"));
    }
    match named_as {
        NamedAs::Counter => suffixes.push(TOTAL.to_owned()),
        NamedAs::Gauge if unit == "1" => suffixes.push(RATIO.to_owned()),
        NamedAs::Gauge | NamedAs::Other => {}
    }
    suffixes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let naming = Naming::default();
        let metric = |name, unit, named_as| naming.metric(name, unit, named_as);
        assert_eq!(metric("http.server.duration", "s", NamedAs::Other), "http_server_duration_seconds");
        assert_eq!(metric("http.server.requests", "{request}", NamedAs::Counter), "http_server_requests_total");
        assert_eq!(metric("process.memory.usage", "By", NamedAs::Gauge), "process_memory_usage_bytes");
        assert_eq!(metric("system.cpu.utilization", "1", NamedAs::Gauge), "system_cpu_utilization_ratio");
        assert_eq!(metric("system.network.io", "By/s", NamedAs::Gauge), "system_network_io_bytes_per_second");
        assert_eq!(metric("jobs_total", "", NamedAs::Counter), "jobs_total");
        assert_eq!(metric("request_total_seconds", "s", NamedAs::Counter), "request_seconds_total");
        assert_eq!(metric("2xx.responses", "", NamedAs::Counter), "_2xx_responses_total");
        assert_eq!(metric("disk  usage (max)", "%", NamedAs::Gauge), "disk_usage_max_percent");
        assert_eq!(metric("speed", "m/s", NamedAs::Gauge), "speed_meters_per_second");
        assert_eq!(metric("flow", "{drop}/min", NamedAs::Gauge), "flow_per_min");
    }

    #[test]
    fn labels_are_those_of_the_specification() {
        let naming = Naming::default();
        for (key, label) in [
            ("http.route", "http_route"),
            ("2nd", "key_2nd"),
            ("_private", "key_private"),
            ("__reserved", "__reserved"),
            ("a..b", "a_b"),
            ("größe", "gr_e"),
        ] {
            assert_eq!(naming.label(key), label);
        }
    }

    #[test]
    fn names_can_be_left_as_they_come() {
        let of = |translation| Naming { translation, ..Naming::default() };
        let name = |translation| of(translation).metric("http.server.duration", "s", NamedAs::Other);
        assert_eq!(name(Translation::None), "http.server.duration");
        assert_eq!(name(Translation::Utf8WithSuffixes), "http.server.duration_seconds");
        assert_eq!(name(Translation::UnderscoresWithoutSuffixes), "http_server_duration");
        assert_eq!(of(Translation::None).label("http.route"), "http.route");
    }
}
