//! `seed`: real collections, imported and published.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{cli::SeedArguments, failure::Failure, workspace::Workspace};

/// Milliseconds of each step.
#[derive(Debug, Clone, Copy)]
struct Times {
    import: u128,
    review: u128,
    approve: u128,
}

/// Imports and publishes every collection that is not there yet.
///
/// # Errors
///
/// [`Failure`] when a file cannot be read, or the writer refuses.
pub(crate) async fn run(arguments: &SeedArguments) -> Result<(), Failure> {
    let files = files(&arguments.data, &arguments.only)?;
    let people = &arguments.people;
    let workspace = Workspace::open(&people.writer, &people.editor, &people.reviewer).await?;
    for (collection, path) in files {
        let records = read(&path)?;
        // What people did since is theirs: a collection that has records is never written.
        let there = workspace.count(&collection).await?.unwrap_or(0);
        if there > 0 {
            let status = workspace.status(&collection).await?;
            report_skipped(arguments.json, &collection, there, &status);
            continue;
        }
        let times = publish(&workspace, &collection, &records).await?;
        report(arguments.json, &collection, records.len(), times);
    }
    Ok(())
}

async fn publish(
    workspace: &Workspace,
    collection: &str,
    records: &[Value],
) -> Result<Times, Failure> {
    let start = Instant::now();
    workspace.create_collection(collection).await?;
    workspace.write(collection, records).await?;
    let import = start.elapsed().as_millis();
    let start = Instant::now();
    workspace.request_review(collection).await?;
    let review = start.elapsed().as_millis();
    let start = Instant::now();
    workspace.approve(collection).await?;
    Ok(Times { import, review, approve: start.elapsed().as_millis() })
}

fn report_skipped(as_json: bool, collection: &str, count: i64, status: &str) {
    if as_json {
        let line = json!({"collection": collection, "records": count, "skipped": true,
            "status": status});
        println!("{line}");
    } else {
        println!("{collection}: has {count} records, {status}; left as it is");
    }
}

fn report(as_json: bool, collection: &str, count: usize, times: Times) {
    let Times { import, review, approve } = times;
    if as_json {
        let line = json!({"collection": collection, "records": count, "skipped": false,
            "import_ms": import, "review_ms": review, "approve_ms": approve});
        println!("{line}");
    } else {
        println!(
            "{collection}: {count} records; import {import} ms, review {review} ms, \
             approval {approve} ms"
        );
    }
}

/// Collections and their files, sorted.
fn files(directory: &Path, only: &[String]) -> Result<Vec<(String, PathBuf)>, Failure> {
    let usage = |error: std::io::Error| Failure::Usage(format!("{}: {error}", directory.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(usage)? {
        let path = entry.map_err(usage)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let is_wanted = only.is_empty() || only.contains(&stem);
        if path.extension().is_some_and(|extension| extension == "json") && is_wanted {
            files.push((stem, path));
        }
    }
    files.sort();
    let missing = only.iter().find(|name| files.iter().all(|(stem, _)| stem != *name));
    if let Some(name) = missing {
        return Err(Failure::Usage(format!("{}: no {name}.json there", directory.display())));
    }
    if files.is_empty() {
        return Err(Failure::Usage(format!("{}: no *.json there", directory.display())));
    }
    Ok(files)
}

/// The records of a file, without what the server gives them.
fn read(path: &Path) -> Result<Vec<Value>, Failure> {
    let wrong = |text: String| Failure::Usage(format!("{}: {text}", path.display()));
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut file: Value =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let Value::Array(mut records) = file["data"].take() else {
        return Err(wrong("`data` is not a list".to_owned()));
    };
    for record in &mut records {
        let Some(members) = record.as_object_mut().filter(|record| record["id"].is_string()) else {
            return Err(wrong("a record without an id".to_owned()));
        };
        members.remove("last_modified");
        members.remove("schema");
    }
    Ok(records)
}
