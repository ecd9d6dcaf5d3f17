//! Do the rules of ARCHITECTURE.md and STYLE.md hold in every file? What a reviewer would otherwise say again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

/// Which rooms a room may see. The arrows of ARCHITECTURE.md, one line a room, ordered by floor.
const ROOMS: &[(&str, u8, &[&str])] = &[
    ("causeway-model", 0, &[]),
    ("causeway-kit", 0, &[]),
    ("causeway-shop", 1, &["causeway-kit"]),
    ("causeway-tail", 1, &["causeway-model"]),
    ("causeway-ingest", 1, &["causeway-model"]),
    ("causeway-store", 1, &["causeway-model"]),
    ("causeway-query", 1, &["causeway-model"]),
    ("causeway-promql", 1, &["causeway-model"]),
    ("causeway-flags", 1, &["causeway-model"]),
    ("causeway-trace", 0, &[]),
    ("causeway-metrics", 2, &["causeway-model", "causeway-store", "causeway-promql"]),
    ("causeway-logql", 2, &["causeway-model", "causeway-promql"]),
    ("causeway-traceql", 2, &["causeway-model", "causeway-promql"]),
    ("causeway-live", 1, &["causeway-model"]),
    ("causeway-logs", 3, &["causeway-model", "causeway-store", "causeway-live", "causeway-promql", "causeway-logql"]),
    (
        "causeway-traces",
        3,
        &["causeway-model", "causeway-store", "causeway-live", "causeway-query", "causeway-promql", "causeway-traceql"],
    ),
    ("causeway-meters", 2, &["causeway-model", "causeway-ingest"]),
    ("causeway-red", 3, &["causeway-model", "causeway-ingest", "causeway-meters"]),
    ("causeway-sampling", 3, &["causeway-model", "causeway-meters", "causeway-traceql"]),
    ("causeway-patterns", 3, &["causeway-model", "causeway-ingest", "causeway-meters"]),
    ("causeway-errors", 4, &["causeway-model", "causeway-ingest", "causeway-meters", "causeway-patterns"]),
    ("causeway-scrape", 2, &["causeway-model", "causeway-ingest"]),
    ("causeway-engine", 2, &["causeway-model", "causeway-store", "causeway-query"]),
    ("causeway-diagnose", 2, &["causeway-model", "causeway-query", "causeway-trace"]),
    (
        "causeway-api",
        5,
        &[
            "causeway-model",
            "causeway-ingest",
            "causeway-promql",
            "causeway-logql",
            "causeway-traceql",
            "causeway-query",
            "causeway-flags",
            "causeway-diagnose",
            "causeway-patterns",
            "causeway-errors",
            "causeway-red",
        ],
    ),
    (
        "causeway",
        6,
        &[
            "causeway-model",
            "causeway-ingest",
            "causeway-store",
            "causeway-query",
            "causeway-flags",
            "causeway-promql",
            "causeway-metrics",
            "causeway-logql",
            "causeway-live",
            "causeway-logs",
            "causeway-meters",
            "causeway-traces",
            "causeway-red",
            "causeway-sampling",
            "causeway-patterns",
            "causeway-errors",
            "causeway-scrape",
            "causeway-engine",
            "causeway-diagnose",
            "causeway-trace",
            "causeway-api",
            "causeway-kit",
            "causeway-shop",
            "causeway-tail",
        ],
    ),
    // It measures from outside; decoding, and what is counted of it, are measured alone.
    (
        "causeway-bench",
        5,
        &["causeway-model", "causeway-ingest", "causeway-meters", "causeway-patterns", "causeway-errors"],
    ),
    // It speaks HTTP, by the kit's client.
    ("causeway-tests", 7, &["causeway-kit"]),
];

/// The only room that may see DataFusion.
const DATAFUSION_ROOM: &str = "causeway-engine";

/// A function that does not fit a screen is more than one thought.
const FUNCTION_LINES_MAX: usize = 70;

/// A clone stays quick; what is larger is generated or fetched.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Places of one machine; split so that this file does not break its own rule.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Use", "rs/")];

/// Hosts of package registries: which mirror serves a package is the machine's business, not the project's.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("proxy.go", "lang.org"),
    concat!("repo1.", "maven.org"),
    concat!("deb.", "debian.org"),
];

/// Bans that clippy.toml must hold, whatever else it does.
const BANS: &[&str] = &[
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::thread::sleep",
    "tokio::time::sleep",
    "rand::random",
    "rand::rng",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Files that are in git or would be with the next `git add`, relative to the root.
fn files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    let files: BTreeSet<String> =
        listed.split('\0').filter(|name| root().join(name).is_file()).map(str::to_owned).collect();
    assert!(files.len() > 20, "git lists too few files to be this repository: {files:?}");
    files.into_iter().collect()
}

fn rust_files() -> Vec<String> {
    files().into_iter().filter(|name| name.ends_with(".rs")).collect()
}

/// The text of a file, or nothing where it is not text.
fn text(name: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(name)).unwrap()).ok()
}

fn toml(name: &str) -> toml::Table {
    text(name).unwrap().parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All packages of the workspace, with their manifests relative to the root.
fn packages() -> Vec<(Package, String)> {
    let root = root();
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    let relative = |package: &Package| {
        package.manifest_path.as_std_path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned()
    };
    metadata.packages.into_iter().map(|package| (package.clone(), relative(&package))).collect()
}

/// Fails with all findings at once: one run tells everything.
fn none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}

#[test]
fn arrows_point_down_only() {
    let floors: BTreeMap<&str, (u8, &[&str])> =
        ROOMS.iter().map(|(name, floor, sees)| (*name, (*floor, *sees))).collect();
    let mut findings = Vec::new();
    for (package, manifest) in packages() {
        let Some((floor, sees)) = floors.get(package.name.as_str()) else {
            findings.push(format!("{manifest}: {} has no line in ROOMS", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            if dependency.name.starts_with("datafusion") && package.name.as_str() != DATAFUSION_ROOM {
                findings.push(format!("{manifest}: {} belongs to {DATAFUSION_ROOM} only", dependency.name));
            }
            let Some((below, _)) = floors.get(dependency.name.as_str()) else { continue };
            let allowed = match dependency.kind {
                // Tests of a room may borrow from its own floor, not from above.
                DependencyKind::Development => below <= floor,
                _ => sees.contains(&dependency.name.as_str()),
            };
            if !allowed {
                findings.push(format!("{manifest}: {} must not see {}", package.name, dependency.name));
            }
        }
    }
    none("arrows point down only (ARCHITECTURE.md, \"The rooms\")", findings);
}

#[test]
fn the_table_of_rooms_is_itself_in_order() {
    for (name, floor, sees) in ROOMS {
        for below in *sees {
            let (_, below_floor, _) = ROOMS.iter().find(|(room, ..)| room == below).unwrap();
            assert!(below_floor < floor, "{name} may not see {below}");
        }
    }
}

#[test]
fn versions_stand_in_the_workspace_only_and_lints_are_inherited() {
    let mut findings = Vec::new();
    for (_, manifest) in packages() {
        let parsed = toml(&manifest);
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = parsed.get(section).and_then(|section| section.as_table()) else { continue };
            for (name, dependency) in table {
                let inherited = dependency.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                if !inherited {
                    findings.push(format!("{manifest}: {name} needs `{name}.workspace = true`"));
                }
            }
        }
        let lints = parsed.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        if lints != Some(true) {
            findings.push(format!("{manifest}: lacks `[lints] workspace = true`"));
        }
    }
    let workspace = toml("Cargo.toml");
    for lint in ["unwrap_used", "disallowed_methods", "disallowed_types"] {
        let level = workspace["workspace"]["lints"]["clippy"].get(lint).and_then(toml::Value::as_str);
        if level != Some("deny") {
            findings.push(format!("Cargo.toml: [workspace.lints.clippy] {lint} = \"deny\" is missing"));
        }
    }
    none("versions and lints stand once, in the workspace", findings);
}

#[test]
fn bans_name_their_replacement() {
    let clippy = toml("clippy.toml");
    let mut findings = Vec::new();
    let mut banned = BTreeSet::new();
    for list in ["disallowed-methods", "disallowed-types"] {
        for ban in clippy.get(list).and_then(toml::Value::as_array).into_iter().flatten() {
            let path = ban.get("path").and_then(toml::Value::as_str).unwrap_or_default();
            let reason = ban.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
            if reason.split_whitespace().count() < 2 {
                findings.push(format!("{ban} does not say what to use instead"));
            }
            banned.insert(path.to_owned());
        }
    }
    findings.extend(BANS.iter().filter(|ban| !banned.contains(**ban)).map(|ban| format!("{ban} is not banned")));
    none("clippy.toml bans with a reason", findings);
}

#[test]
fn every_file_says_which_question_it_answers() {
    let silent = rust_files().into_iter().filter(|name| !text(name).unwrap().starts_with("//!"));
    none("each .rs file begins with //!", silent.collect());
}

/// Collects the functions of a file with their lines, from `fn` to the closing brace.
#[derive(Default)]
struct Functions {
    found: Vec<(String, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.span().end().line;
        self.found.push((signature.ident.to_string(), last + 1 - first));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

fn functions(source: &str) -> Vec<(String, usize)> {
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(source).unwrap());
    functions.found
}

#[test]
fn functions_are_counted_from_fn_to_brace() {
    let found = functions("/// Words.\n#[inline]\nfn one() {\n    fn two() {}\n}\nimpl X { fn three(\n) {\n} }\n");
    assert_eq!(found, vec![("one".to_owned(), 3), ("two".to_owned(), 1), ("three".to_owned(), 3)]);
}

#[test]
fn long_functions_only_ever_get_fewer() {
    let list = text("tests/long_functions.txt").unwrap();
    let allowed: BTreeSet<&str> = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let mut long = BTreeMap::new();
    for name in rust_files() {
        for (function, lines) in functions(&text(&name).unwrap()) {
            if lines > FUNCTION_LINES_MAX {
                long.insert(format!("{name} {function}"), lines);
            }
        }
    }
    let mut findings = Vec::new();
    for (function, lines) in &long {
        if !allowed.contains(function.as_str()) {
            findings.push(format!("{function} has {lines} lines"));
        }
    }
    for function in allowed {
        if !long.contains_key(function) {
            findings.push(format!("{function} got short: remove it from tests/long_functions.txt"));
        }
    }
    none(&format!("functions stay within {FUNCTION_LINES_MAX} lines"), findings);
}

/// Where a document speaks of a path.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    /// In backticks: relative to the root, to the document, or the end of some file's path.
    Code(String),
    /// The target of a link: relative to the document.
    Link(String),
}

/// Signs that only patterns, expressions, URLs and commands have.
const NOT_A_PATH: &[char] = &[
    '<', '>', '*', '{', '}', '$', '|', '=', ',', ':', ';', '(', ')', '[', ']', '"', '\'', '?', '&', '@', '\\', '…',
    '%', '!', '+', ' ',
];

/// First segments of paths that live in the data directory of a running server.
const RUNTIME_FOLDERS: &[&str] = &["data", "parts", "wal", "target"];

/// Endings that make even a word without a slash a file of the repository.
const FILE_ENDINGS: &[&str] = &[".md", ".rs"];

fn is_path(token: &str, top: &BTreeSet<String>) -> bool {
    // Routes begin with a slash; `./` is where the program runs; `../` lies beside the checkout; `-` begins a flag.
    let elsewhere = ["/", "./", "../", "~", "-", "#"].iter().any(|start| token.starts_with(start));
    if token.is_empty() || elsewhere || token.contains(NOT_A_PATH) {
        return false;
    }
    let first = token.split('/').next().unwrap_or_default();
    if RUNTIME_FOLDERS.contains(&first) {
        return false;
    }
    let ending = FILE_ENDINGS.iter().any(|ending| token.ends_with(ending) && token.len() > ending.len());
    ending || (token.contains('/') && top.contains(first))
}

/// The paths that a document names, with their lines. Fenced blocks are examples and not read.
fn references(markdown: &str, top: &BTreeSet<String>) -> Vec<(usize, Reference)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let code = line.split('`').skip(1).step_by(2).filter(|token| is_path(token, top));
        found.extend(code.map(|token| (index + 1, Reference::Code(token.trim_end_matches('/').to_owned()))));
        for link in line.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default().split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                found.push((index + 1, Reference::Link(target.to_owned())));
            }
        }
    }
    found
}

#[test]
fn paths_in_documents_are_told_from_patterns_and_routes() {
    let top = BTreeSet::from(["crates".to_owned(), "docs".to_owned()]);
    let text = "`crates/model` `parts/<table>/x` `/v1/logs` `./data` `../shared/x.md` `application/json`\n`lib.rs` `docs/*.md` \
                [a](guides/python.md#x) [b](https://example.org)\n```\n`crates/none`\n```\n`cargo test -p x` `std::fs`";
    let expected = vec![
        (1, Reference::Code("crates/model".to_owned())),
        (2, Reference::Code("lib.rs".to_owned())),
        (2, Reference::Link("guides/python.md".to_owned())),
    ];
    assert_eq!(references(text, &top), expected);
}

#[test]
fn no_document_names_a_path_that_does_not_exist() {
    let files = files();
    let top: BTreeSet<String> =
        files.iter().filter_map(|name| name.split_once('/')).map(|(top, _)| top.to_owned()).collect();
    let exists = |path: &Path| path.exists();
    let mut findings = Vec::new();
    // A changelog tells of what was.
    for name in files.iter().filter(|name| name.ends_with(".md") && *name != "CHANGELOG.md") {
        let folder = root().join(name).parent().unwrap().to_path_buf();
        for (line, reference) in references(&text(name).unwrap(), &top) {
            let (found, path) = match &reference {
                Reference::Link(path) => (exists(&folder.join(path)), path),
                Reference::Code(path) => {
                    let tail = format!("/{path}");
                    let named = exists(&root().join(path)) || exists(&folder.join(path));
                    (named || files.iter().any(|file| file.ends_with(&tail)), path)
                }
            };
            if !found {
                findings.push(format!("{name}:{line}: {path}"));
            }
        }
    }
    none("documents name only what exists", findings);
}

#[test]
fn no_file_is_larger_than_a_mebibyte() {
    let large = files().into_iter().filter(|name| std::fs::metadata(root().join(name)).unwrap().len() > FILE_BYTES_MAX);
    none("files stay small", large.collect());
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let mut findings = Vec::new();
    for name in files() {
        let Some(text) = text(&name) else { continue };
        let locked = name.ends_with(".lock") || name.ends_with("package-lock.json");
        let hosts = if locked { &[] } else { REGISTRY_HOSTS };
        for (index, line) in text.lines().enumerate() {
            let words = MACHINE_PATHS.iter().chain(hosts).filter(|word| line.contains(**word));
            findings.extend(words.map(|word| format!("{name}:{}: {word}", index + 1)));
        }
    }
    none("files speak of the project alone", findings);
}

#[test]
fn the_licence_is_the_whole_apache_text() {
    let licence = text("LICENSE").unwrap();
    for passage in
        ["Apache License", "TERMS AND CONDITIONS FOR USE", "9. Accepting Warranty", "END OF TERMS AND CONDITIONS"]
    {
        assert!(licence.contains(passage), "LICENSE lacks {passage:?}");
    }
}
