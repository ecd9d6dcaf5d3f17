//! How does an incident travel? One file: a zstd-compressed tar of a closed store's data directory, its manifest first.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde_json::Value;

use crate::config::{Settings, SettingsSource};
use crate::serve;

/// Version of the layout of a recording.
pub const FORMAT: u64 = 1;
/// The first entry.
const MANIFEST: &str = "manifest.json";
/// Everything else stands below.
const DATA: &str = "data";
/// Compression: parts are compressed already, the rest is small.
const ZSTD_LEVEL: i32 = 9;
/// Largest content of a recording that is opened. 8 GiB: what fits on most disks, and less than a small file can claim to hold.
const BYTES_MAX: u64 = 8 << 30;
/// Largest manifest.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `open`.
#[derive(Debug, Args)]
pub struct OpenArguments {
    /// What `causeway demo record` wrote
    file: PathBuf,
    /// Address of the UI and all HTTP APIs; port 0 picks one
    #[arg(long, default_value = "127.0.0.1:4300", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Print one JSON line with the addresses and the recording's manifest on stdout once everything is ready
    #[arg(long)]
    print_addresses: bool,
}

/// Writes a recording; the bytes of the file.
pub fn write(data: &Path, manifest: &Value, file: &Path) -> io::Result<u64> {
    // Beside its place, so that no half of one is ever found there.
    let unfinished = file.with_extension("unfinished");
    let mut archive = tar::Builder::new(zstd::Encoder::new(File::create(&unfinished)?, ZSTD_LEVEL)?);
    let text = serde_json::to_vec_pretty(manifest)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, MANIFEST, &*text)?;
    archive.append_dir_all(DATA, data)?;
    let mut written = archive.into_inner()?.finish()?;
    written.flush()?;
    let bytes = written.metadata()?.len();
    std::fs::rename(&unfinished, file)?;
    Ok(bytes)
}

/// Lays a recording out in a directory; its manifest. A recording is somebody else's: nothing of it is written anywhere else.
pub fn read(file: impl Read, directory: &Path) -> io::Result<Value> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(file)?.take(BYTES_MAX));
    let mut entries = archive.entries()?;
    let manifest = manifest_of(entries.next().ok_or_else(|| wrong("this is not a recording: it is empty"))??)?;
    for entry in entries {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let plain = path.starts_with(DATA) && path.components().all(|part| matches!(part, Component::Normal(_)));
        let kind = entry.header().entry_type();
        if !plain || !(kind.is_file() || kind.is_dir()) || !entry.unpack_in(directory)? {
            return Err(wrong("this recording holds what no store has"));
        }
    }
    Ok(manifest)
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

fn manifest_of<R: Read>(entry: tar::Entry<'_, R>) -> io::Result<Value> {
    if entry.path()? != Path::new(MANIFEST) {
        return Err(wrong("this is not a recording: it does not begin with a manifest"));
    }
    let mut text = Vec::new();
    entry.take(MANIFEST_BYTES_MAX).read_to_end(&mut text)?;
    let manifest: Value = serde_json::from_slice(&text)?;
    if manifest.get("format").and_then(Value::as_u64) != Some(FORMAT) {
        return Err(wrong("this recording has a format that this version does not know"));
    }
    Ok(manifest)
}

/// Serves a recording, until told to stop.
///
/// # Errors
/// What to tell the person in front of it.
pub async fn open(arguments: &OpenArguments) -> Result<(), String> {
    let directory = tempfile::Builder::new().prefix("causeway-open-").tempdir();
    let directory = directory.map_err(|error| format!("no temporary directory: {error}"))?;
    let (file, place) = (arguments.file.clone(), directory.path().to_path_buf());
    let laid_out = tokio::task::spawn_blocking(move || read(File::open(file)?, &place));
    let laid_out = laid_out.await.map_err(|error| error.to_string())?;
    let manifest = laid_out.map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let given = SettingsSource {
        data: Some(directory.path().join(DATA)),
        listen: Some(arguments.listen),
        otlp_grpc: Some(any_port),
        otlp_http: Some(any_port),
        log_level: Some("warn".to_owned()),
        self_telemetry: Some(false),
        ..SettingsSource::default()
    };
    let mut settings = Settings::resolve(given, SettingsSource::default());
    settings.read_only = true;
    let print = arguments.print_addresses;
    let ready = move |addresses: serve::Addresses| {
        serve::announce(addresses, false);
        if print {
            // Whoever asks by program learns from the manifest what it asks about.
            let mut line = serve::addresses_line(addresses);
            line["recording"] = manifest;
            println!("{line}");
        } else {
            let moment = |key: &str| rfc3339(manifest.get(key).and_then(Value::as_i64).unwrap_or_default());
            let (from, to) = (moment("opened_unix_nano"), moment("ended_unix_nano"));
            println!("Read-only until Ctrl-C: http://{}/?from={from}&to={to}", addresses.listen);
        }
    };
    serve::run_until(settings, ready, serve::wait_for_signal()).await.map_err(|error| error.message)
}

/// To the second.
fn rfc3339(unix_nano: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(unix_nano).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recording(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        for (path, text) in entries {
            let mut header = tar::Header::new_gnu();
            // Not by `append_data`: that one refuses what is to be refused here.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let place = tempfile::tempdir().unwrap();
        let (data, file) = (place.path().join("store"), place.path().join("incident.tar.zst"));
        std::fs::create_dir_all(data.join("parts/logs")).unwrap();
        std::fs::write(data.join("parts/logs/1.parquet"), "rows").unwrap();
        let manifest = json!({"format": FORMAT, "scenario": "campaign"});
        write(&data, &manifest, &file).unwrap();
        let back = place.path().join("back");
        std::fs::create_dir(&back).unwrap();
        assert_eq!(read(File::open(&file).unwrap(), &back).unwrap(), manifest);
        assert_eq!(std::fs::read(back.join("data/parts/logs/1.parquet")).unwrap(), b"rows");
    }

    #[test]
    fn what_is_no_recording_is_refused_and_writes_nothing_elsewhere() {
        let manifest = (MANIFEST, r#"{"format": 1}"#);
        let wrong: [(&[(&str, &str)], &str); 6] = [
            (&[], "empty"),
            (&[("data/x", "")], "does not begin"),
            (&[(MANIFEST, r#"{"format": 2}"#)], "does not know"),
            (&[(MANIFEST, "no json")], "expected"),
            (&[manifest, ("data/../../escaped", "x")], "no store has"),
            (&[manifest, ("elsewhere", "x")], "no store has"),
        ];
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("a/b");
        std::fs::create_dir_all(&inside).unwrap();
        for (entries, expected) in wrong {
            let error = read(&*recording(entries), &inside).unwrap_err();
            assert!(error.to_string().contains(expected), "{entries:?}: {error}");
        }
        assert!(read(&b"no zstd at all"[..], &inside).is_err());
        assert!(!place.path().join("escaped").exists() && !place.path().join("a/escaped").exists());
    }
}
