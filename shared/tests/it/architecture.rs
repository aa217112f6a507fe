//! The shape of the code: who may depend on whom, and on what (`ARCHITECTURE.md`).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// One line a crate in use: its name, version and features.
fn crates() -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p} [{f}]"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Every source file below `directory`, with its text.
fn sources(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

#[test]
fn one_crypto_backend_and_no_banned_crate() {
    let crates = crates();

    assert!(crates.iter().any(|line| line.starts_with("aws-lc-rs ")));
    for banned in ["ring ", "openssl-sys ", "native-tls ", "rsa "] {
        let found: Vec<_> = crates.iter().filter(|line| line.starts_with(banned)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn no_feature_changes_the_bytes_that_are_signed() {
    let crates = crates();
    let json: Vec<_> = crates.iter().filter(|line| line.starts_with("serde_json ")).collect();

    assert!(!json.is_empty());
    for line in json {
        assert!(!line.contains("preserve_order"), "{line}");
        assert!(!line.contains("arbitrary_precision"), "{line}");
    }
}

#[test]
fn sql_lives_in_stores() {
    let mut files = Vec::new();
    for part in ["shared/src", "writer/src", "reader/src"] {
        sources(&root().join(part), &mut files);
    }
    assert!(files.len() > 50);
    for (path, text) in files {
        let shown = path.display().to_string();
        if shown.contains("/store/") || shown.contains("/testing/") {
            continue;
        }
        for trace in [
            "prepare_cached(",
            ".query_one(",
            ".query_opt(",
            ".query_typed",
            ".execute(",
            "batch_execute(",
        ] {
            assert!(!text.contains(trace), "{shown} has {trace}");
        }
    }
}

#[test]
fn the_model_and_the_rules_are_pure() {
    let mut files = Vec::new();
    sources(&root().join("shared/src/model"), &mut files);
    sources(&root().join("shared/src/listing"), &mut files);
    for name in [
        "shared/src/canonical.rs",
        "shared/src/json.rs",
        "shared/src/verifiable.rs",
        "writer/src/signoff/transition.rs",
        "writer/src/signoff/resources.rs",
        "writer/src/signoff/guards.rs",
        "shared/src/preconditions.rs",
    ] {
        let path = root().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        files.push((path, text));
    }
    for (path, text) in files {
        let code: Vec<&str> =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        for trace in ["async fn", ".await", "std::fs", "tokio::"] {
            assert!(!code.contains(trace), "{} has {trace}", path.display());
        }
    }
}
