//! What people and scripts see of the program: exit codes, stdout, stderr.

mod arguments;
mod bundles;
mod configuration;
mod create;
mod documentation;
mod serve;
mod state;
mod timeline;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use shipperd::oci::Digest;

/// The program in `directory`, with nothing of this machine's environment or configuration.
fn shipperd(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    command.current_dir(directory).env_clear().env("SHIPPERD_CONFIG", "/dev/null");
    command.env("XDG_STATE_HOME", directory.join(".state")).stdin(Stdio::null());
    command
}

/// Runs the program and compares all that it answers.
#[track_caller]
fn check(command: &mut Command, code: i32, stdout: &str, stderr: &str) {
    let output = command.output().unwrap();
    assert_eq!(text(&output.stdout), stdout, "stdout of {command:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), stderr, "stderr of {command:?}");
    assert_eq!(output.status.code(), Some(code), "exit code of {command:?}");
}

/// Runs the program and answers what it prints on stdout.
#[track_caller]
fn stdout(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(status.code(), Some(code), "exit code of {command:?}: {}", text(&stderr));
    text(&stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Writes an OCI layout that carries one image under these names, and answers its layer's path.
fn layout(directory: &Path, references: &[&str], layer: &[u8]) -> std::path::PathBuf {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (digest.to_string(), bytes.len())
    };
    let (config, config_size) = blob(b"{}");
    let (layer_digest, layer_size) = blob(layer);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config,
            "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer_digest,
            "size": layer_size,
        }],
    });
    let (digest, size) = blob(manifest.to_string().as_bytes());
    let manifests: Vec<_> = references
        .iter()
        .map(|reference| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest,
                "size": size,
                "annotations": {"org.opencontainers.image.ref.name": reference},
            })
        })
        .collect();
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    blobs.join(Digest::of(layer).hex())
}
