//! What is a program told, so that its OpenTelemetry SDK sends here and at once? Environment variables; what the user has set stays.

use std::path::{Path, PathBuf};

/// Resource attribute that tells one run from another.
pub const RUN: &str = "causeway.dev.run";
/// Resource attribute that says of what it is a run: this command in this directory.
pub const SUBJECT: &str = "causeway.dev.subject";
/// Our attributes begin so.
const OURS: &str = "causeway.dev.";
/// Milliseconds that spans and logs wait for others. Short: somebody is looking.
const SCHEDULE_DELAY_MS: &str = "200";
/// Milliseconds between two exports of metrics. 5 s instead of a minute: most runs are short.
const METRIC_INTERVAL_MS: &str = "5000";
/// Where Node's auto-instrumentation looks for what it runs on. Not in clouds: nothing answers there from a developer's machine, and it waits.
const NODE_DETECTORS: &str = "env,host,os,process";
/// The package that instruments Node programs, and the file of it that does so when it is loaded first.
const NODE_PACKAGE: &str = "@opentelemetry/auto-instrumentations-node";
const NODE_REGISTER: &str = "build/src/register.js";

/// What is known of the run.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The store's URL.
    pub url: String,
    /// Name of the service where the user gives none.
    pub service: String,
    /// The run.
    pub run: String,
    /// Of what.
    pub subject: String,
    /// The file that instruments Node programs, where it is to be loaded.
    pub node_register: Option<PathBuf>,
}

/// What is to be set beside what is `given`. Empty counts as unset (OpenTelemetry specification, "Environment variable").
pub fn variables(given: impl Fn(&str) -> Option<String>, facts: &Facts) -> Vec<(&'static str, String)> {
    let given = |name: &str| given(name).filter(|value| !value.trim().is_empty());
    let resource = given("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let mut attributes: Vec<&str> =
        resource.split(',').map(str::trim).filter(|pair| !pair.is_empty() && !pair.starts_with(OURS)).collect();
    let names_service =
        attributes.iter().any(|pair| pair.split('=').next().is_some_and(|key| key.trim() == "service.name"));
    let (run, subject) = (format!("{RUN}={}", facts.run), format!("{SUBJECT}={}", facts.subject));
    attributes.extend([run.as_str(), subject.as_str()]);
    let mut set = vec![("OTEL_RESOURCE_ATTRIBUTES", attributes.join(","))];
    let defaults = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", facts.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_BSP_SCHEDULE_DELAY", SCHEDULE_DELAY_MS),
        ("OTEL_BLRP_SCHEDULE_DELAY", SCHEDULE_DELAY_MS),
        ("OTEL_METRIC_EXPORT_INTERVAL", METRIC_INTERVAL_MS),
        ("OTEL_NODE_RESOURCE_DETECTORS", NODE_DETECTORS),
        ("OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED", "true"),
    ];
    set.extend(
        defaults.into_iter().filter(|(name, _)| given(name).is_none()).map(|(name, value)| (name, value.to_owned())),
    );
    if !names_service && given("OTEL_SERVICE_NAME").is_none() {
        set.push(("OTEL_SERVICE_NAME", facts.service.clone()));
    }
    if let Some(register) = &facts.node_register {
        let options = given("NODE_OPTIONS").unwrap_or_default();
        // Loaded twice it would tell everything twice.
        if !options.contains(NODE_PACKAGE) {
            set.push((
                "NODE_OPTIONS",
                format!("{options} --require {}", node_quoted(register)).trim_start().to_owned(),
            ));
        }
    }
    set
}

/// Where the user sends everything himself, away from our store.
pub fn endpoint_elsewhere(given: impl Fn(&str) -> Option<String>, url: &str) -> Option<String> {
    let given = given("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|endpoint| !endpoint.trim().is_empty())?;
    (given.trim_end_matches('/') != url.trim_end_matches('/')).then_some(given)
}

/// The file that instruments Node programs, as Node would find it from this directory; not where the command loads it by itself.
pub fn node_register(directory: &Path, command: &[String]) -> Option<PathBuf> {
    if command.iter().any(|word| word.contains(NODE_PACKAGE)) {
        return None;
    }
    let places = directory.ancestors().map(|above| above.join("node_modules").join(NODE_PACKAGE).join(NODE_REGISTER));
    places.into_iter().find(|file| file.is_file())
}

/// As NODE_OPTIONS wants a path that may have spaces.
fn node_quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn facts() -> Facts {
        Facts {
            url: "http://127.0.0.1:4300".to_owned(),
            service: "shop".to_owned(),
            run: "r2".to_owned(),
            subject: "s".to_owned(),
            node_register: None,
        }
    }

    fn set(given: &[(&str, &str)], facts: &Facts) -> BTreeMap<&'static str, String> {
        let given = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        variables(given, facts).into_iter().collect()
    }

    #[test]
    fn a_bare_environment_gets_all_that_an_sdk_needs() {
        let set = set(&[("OTEL_SERVICE_NAME", " ")], &facts());
        assert_eq!(set["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://127.0.0.1:4300");
        assert_eq!(set["OTEL_EXPORTER_OTLP_PROTOCOL"], "http/protobuf");
        assert_eq!(set["OTEL_SERVICE_NAME"], "shop");
        assert_eq!(set["OTEL_RESOURCE_ATTRIBUTES"], "causeway.dev.run=r2,causeway.dev.subject=s");
        assert_eq!((&*set["OTEL_LOGS_EXPORTER"], &*set["OTEL_BSP_SCHEDULE_DELAY"]), ("otlp", "200"));
        assert!(!set.contains_key("NODE_OPTIONS"));
    }

    #[test]
    fn what_the_user_has_set_stays() {
        let given = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_EXPORTER", "console"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb, service.name=mine,causeway.dev.run=r1,"),
        ];
        let set = set(&given, &facts());
        for (name, _) in &given[..4] {
            assert!(!set.contains_key(name), "{name}");
        }
        assert!(!set.contains_key("OTEL_SERVICE_NAME"), "the resource names the service");
        let expected = "team=a%2Cb,service.name=mine,causeway.dev.run=r2,causeway.dev.subject=s";
        assert_eq!(set["OTEL_RESOURCE_ATTRIBUTES"], expected, "a run inside a run is a run of its own");
        let given = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://other:4318".to_owned());
        assert_eq!(endpoint_elsewhere(given, "http://127.0.0.1:4300"), Some("http://other:4318".to_owned()));
        assert_eq!(endpoint_elsewhere(given, "http://other:4318/"), None);
        assert_eq!(endpoint_elsewhere(|_| None, "http://127.0.0.1:4300"), None);
    }

    #[test]
    fn node_is_instrumented_once_and_only_where_the_package_is() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a b/src");
        std::fs::create_dir_all(&inside).unwrap();
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let app = command(&["node", "app.js"]);
        assert_eq!(node_register(&inside, &app), None);
        let file = folder.path().join("a b/node_modules").join(NODE_PACKAGE).join(NODE_REGISTER);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        assert_eq!(node_register(&inside, &app), Some(file.clone()));
        let by_itself = command(&["node", "--require", "@opentelemetry/auto-instrumentations-node/register", "app.js"]);
        assert_eq!(node_register(&inside, &by_itself), None);
        let facts = Facts { node_register: Some(file.clone()), ..facts() };
        let quoted = format!("--require \"{}\"", file.display());
        assert_eq!(set(&[], &facts)["NODE_OPTIONS"], quoted);
        assert_eq!(set(&[("NODE_OPTIONS", "--inspect")], &facts)["NODE_OPTIONS"], format!("--inspect {quoted}"));
        let loaded = [("NODE_OPTIONS", "--require @opentelemetry/auto-instrumentations-node/register")];
        assert!(!set(&loaded, &facts).contains_key("NODE_OPTIONS"));
    }
}
