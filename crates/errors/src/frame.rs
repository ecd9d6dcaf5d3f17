//! What does one frame of a stack trace name? A function, and whether it is the service's own: the same after every deploy.

use causeway_meters::cut;

/// A function in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name with that of its class, module or file, without what changes from run to run.
    pub function: String,
    /// Whether it is part of the service rather than of a library.
    pub is_own: bool,
}

/// Where packages begin that are no service's own.
const LIBRARIES: [&str; 52] = [
    // Java, Kotlin, Scala.
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "akka.",
    "groovy.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "org.eclipse.jetty.",
    "org.jboss.",
    "org.postgresql.",
    "org.slf4j.",
    "io.netty.",
    "io.grpc.",
    "io.undertow.",
    "io.vertx.",
    "io.micrometer.",
    "io.opentelemetry.",
    "reactor.",
    "okhttp3.",
    "com.zaxxer.hikari.",
    "com.mysql.",
    "com.fasterxml.jackson.",
    "com.google.common.",
    "ch.qos.logback.",
    // .NET.
    "System.",
    "Microsoft.",
    "Npgsql.",
    "Newtonsoft.Json.",
    "MySqlConnector.",
    "StackExchange.Redis.",
    "Grpc.",
    // Rust.
    "std::",
    "core::",
    "alloc::",
    "tokio::",
    "hyper::",
    "axum::",
    "tower::",
    "futures_util::",
    "futures_core::",
    "rust_begin_unwind",
    "__rust",
    "panic_unwind::",
    "test::",
    "backtrace::",
];

/// Parts of paths where no service's own files are.
const LIBRARY_PATHS: [&str; 14] = [
    "/site-packages/",
    "/dist-packages/",
    "/lib/python",
    "<frozen ",
    "node_modules/",
    "node_modules\\",
    "node:",
    "/usr/local/go/",
    "/go/src/",
    "/pkg/mod/",
    "/vendor/",
    "/rustc/",
    ".cargo/registry",
    "internal/modules/",
];

fn own(function: &str, path: &str) -> bool {
    let function = function.trim_start_matches(['<', '&', '(']);
    !LIBRARIES.iter().any(|library| function.starts_with(library))
        && !LIBRARY_PATHS.iter().any(|part| path.contains(part))
}

fn frame(function: String, path: &str) -> Option<Frame> {
    let is_own = own(&function, path);
    let function = cut(&function).to_owned();
    (!function.is_empty()).then_some(Frame { function, is_own })
}

/// A frame behind `at `: of Java, .NET or JavaScript. In Rust it is the place of the function in the line before, which is a frame already.
pub fn after_at(rest: &str, before: &str) -> Option<Frame> {
    if rust(before.trim()).is_some() {
        return None;
    }
    if let Some((function, place)) = rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("))
        && !function.contains('(')
    {
        return script(function, place);
    }
    let Some((function, behind)) = rest.split_once('(') else {
        return script("", rest.strip_prefix("async ").unwrap_or(rest));
    };
    let path = behind.split_once(") in ").map_or("", |(_, path)| path);
    // `java.base/java.util`, `app//com.shop`: the module, and its version, are no part of the name.
    let function = function.rsplit('/').next().filter(|_| !function.contains("$$Lambda")).unwrap_or(function);
    frame(class_name(function), path)
}

/// JavaScript: the function, with its file where it has no class.
fn script(function: &str, place: &str) -> Option<Frame> {
    let function = function.strip_prefix("async ").unwrap_or(function);
    let function = function.split_once(" [as ").map_or(function, |(function, _)| function);
    // file:line:column
    let path = place.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == ':');
    let path = path.split('?').next().unwrap_or_default();
    let is_anonymous = function.is_empty() || function.contains("<anonymous>");
    let name = if is_anonymous { "<anonymous>" } else { function.strip_prefix("Object.").unwrap_or(function) };
    let is_own = own("", path);
    let file = if is_own { file_of(path) } else { path.rsplit("node_modules/").next().unwrap_or_default() };
    (path.contains(['/', '.', ':', '\\']))
        .then(|| Frame { function: cut(&format!("{name} ({})", without_hash(file))).to_owned(), is_own })
}

/// The last two parts of a path: what stands before is where it was installed.
fn file_of(path: &str) -> &str {
    let mut slashes = path.bytes().enumerate().rev().filter(|(_, byte)| matches!(byte, b'/' | b'\\')).map(|(at, _)| at);
    slashes.nth(1).and_then(|at| path.get(at + 1..)).unwrap_or_else(|| path.trim_start_matches(['.', '/']))
}

/// A bundle's name without the hash of its content: `main.4f2a91c0.js`, `index-DkX93abc.js`.
fn without_hash(file: &str) -> String {
    let is_hash = |part: &str| {
        part.len() >= 8
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let parts = file.split_inclusive(['.', '-']);
    parts.filter(|part| !is_hash(part.trim_end_matches(['.', '-']))).collect()
}

/// Python: what stands behind `File "`.
pub fn python(rest: &str) -> Option<Frame> {
    let (path, rest) = rest.split_once('"')?;
    let function = rest.split_once(" in ").map_or("<module>", |(_, function)| function.trim());
    let library = ["/site-packages/", "/dist-packages/"].iter().find_map(|part| path.split_once(part));
    let file = library.map_or_else(|| file_of(path), |(_, file)| file);
    frame(format!("{function} ({file})"), path)
}

/// Go: a function, where the line behind it is its place.
pub fn go(before: &str, line: &str) -> Option<Frame> {
    let place = line.strip_prefix('\t')?;
    let (path, _) = place.split_once(".go:")?;
    let function = before.strip_prefix("created by ").unwrap_or(before);
    let function = function.split_once(" in goroutine ").map_or(function, |(function, _)| function);
    let arguments = function.ends_with(')').then(|| function.rfind('(')).flatten();
    let function = arguments.and_then(|at| function.get(..at)).unwrap_or(function).trim();
    // Of the standard library, whose packages have no domain: it is known by its path, and panics by their name.
    let is_own =
        own("", path) && !function.starts_with("runtime.") && function != "panic" && function != "main.main.func";
    let function = numberless(function, &[".func", ".gowrap", "-range"]);
    (!function.is_empty()).then(|| Frame { function: cut(&function).to_owned(), is_own })
}

/// Rust: `12: shop::orders::place::h0123456789abcdef`.
pub fn rust(line: &str) -> Option<Frame> {
    let (number, rest) = line.split_once(": ")?;
    number.parse::<u32>().ok()?;
    let rest = rest.trim();
    let rest = rest.strip_prefix("0x").and_then(|rest| rest.split_once(" - ")).map_or(rest, |(_, function)| function);
    let is_hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let rest = rest.rsplit_once("::h").filter(|(_, hash)| is_hash(hash)).map_or(rest, |(function, _)| function);
    let is_path = rest.contains("::") || rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_path && !rest.contains(": "))
        .then(|| rest.replace("::{{closure}}", ""))
        .and_then(|function| frame(function, ""))
}

/// A method of Java or .NET without what compilers and frameworks make up: numbers of lambdas, proxies, state machines, type arguments.
fn class_name(function: &str) -> String {
    if let Some((class, _)) = function.split_once("$$Lambda") {
        return format!("{}.<lambda>", class.rsplit('/').next().unwrap_or(class));
    }
    let mut name = function.to_owned();
    for proxy in [
        "$$EnhancerBySpringCGLIB$$",
        "$$FastClassBySpringCGLIB$$",
        "$$SpringCGLIB$$",
        "$HibernateProxy$",
        "$MockitoMock$",
        "$$Proxy",
    ] {
        if let Some((class, rest)) = name.split_once(proxy) {
            name = format!("{class}{}", rest.trim_start_matches(|letter: char| letter != '.'));
        }
    }
    // `<Place>d__12.MoveNext` and `<>c.<Place>b__0_1` stand for `Place`.
    if let Some(at) = name.find(".<") {
        let (class, rest) = name.split_at(at);
        let method =
            rest.split('<').filter_map(|part| part.split_once('>')).map(|(method, _)| method).find(|it| !it.is_empty());
        if let Some(method) = method {
            name = format!("{class}.{method}");
        }
    }
    let name = name.split('[').next().unwrap_or_default();
    numberless(
        name,
        &[
            "lambda$",
            "$Proxy",
            "GeneratedMethodAccessor",
            "GeneratedConstructorAccessor",
            "$anonfun$",
            "accessor",
            "`",
            "$",
        ],
    )
}

/// A name without the numbers behind these words and the last dollar: `lambda$place$3` is `lambda$place$`, `main.func1.2` is `main.func`.
fn numberless(name: &str, words: &[&str]) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        out.push(letter);
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        if words.iter().any(|word| out.ends_with(word)) {
            let kept = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
            rest = kept;
            while let Some(more) =
                rest.strip_prefix('.').filter(|more| more.starts_with(|letter: char| letter.is_ascii_digit()))
            {
                rest = more.trim_start_matches(|letter: char| letter.is_ascii_digit());
            }
        }
    }
    out
}
