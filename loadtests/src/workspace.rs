//! An editor and a reviewer, and what they do with collections under review.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{batch, client::Client, failure::Failure};

/// Where people edit.
pub(crate) const SOURCE: &str = "main-workspace";
/// What clients read.
pub(crate) const DESTINATION: &str = "main";

/// Both people of a publication, on one writer.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// Edits, and asks for review.
    pub(crate) editor: Client,
    /// Approves.
    pub(crate) reviewer: Client,
    reviewer_id: String,
    /// Most requests of a batch.
    pub(crate) batch_size: usize,
}

impl Workspace {
    /// Asks the writer who both are, and makes sure that the bucket exists.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer does not answer, or knows no such users.
    pub(crate) async fn open(writer: &str, editor: &str, reviewer: &str) -> Result<Self, Failure> {
        let client = Client::new(writer)?;
        let (editor, reviewer) = (client.with_user(editor), client.with_user(reviewer));
        let hello = editor.get_json("/").await?;
        let editor_id = user_id(&hello, &editor)?;
        let reviewer_id = user_id(&reviewer.get_json("/").await?, &reviewer)?;
        if editor_id == reviewer_id {
            let text = "the reviewer must not be the editor: publication takes two people";
            return Err(Failure::Usage(text.to_owned()));
        }
        let batch_size = batch::limit(&hello)?;
        let workspace = Self { editor, reviewer, reviewer_id, batch_size };
        workspace.create(&format!("/buckets/{SOURCE}")).await?;
        Ok(workspace)
    }

    /// Creates an object unless it is there.
    async fn create(&self, path: &str) -> Result<(), Failure> {
        let only_new = [("If-None-Match", "*")];
        let answer = self.editor.send(Method::PUT, path, &only_new, Some(&json!({}))).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::PRECONDITION_FAILED => Ok(()),
            _ => Err(answer.unexpected()),
        }
    }

    /// Creates a source collection whose reviewer is ours; one that exists stays as it is.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn create_collection(&self, collection: &str) -> Result<(), Failure> {
        self.create(&source(collection)).await?;
        let group = format!("/buckets/{SOURCE}/groups/{collection}-reviewers");
        let mut answer = self.editor.get_json(&group).await?;
        let members = answer["data"]["members"]
            .as_array_mut()
            .ok_or_else(|| Failure::Failed(format!("{group} has no members")))?;
        if members.contains(&json!(self.reviewer_id)) {
            return Ok(());
        }
        members.push(json!(self.reviewer_id));
        let body = json!({"data": {"members": members}});
        self.editor.send(Method::PATCH, &group, &[], Some(&body)).await?.success()?;
        Ok(())
    }

    /// Writes records by `PUT`, in batches as large as the writer allows. Each has an `id`.
    ///
    /// # Errors
    ///
    /// [`Failure`] naming the first request that was refused.
    pub(crate) async fn write(&self, collection: &str, records: &[Value]) -> Result<(), Failure> {
        for chunk in records.chunks(self.batch_size) {
            let requests: Vec<Value> = chunk
                .iter()
                .map(|record| {
                    let id = record["id"].as_str().unwrap_or_default();
                    json!({
                        "path": format!("{}/records/{id}", source(collection)),
                        "body": {"data": record},
                    })
                })
                .collect();
            let body = json!({"defaults": {"method": "PUT"}, "requests": requests});
            batch::send(&self.editor, &body).await?;
        }
        Ok(())
    }

    /// Asks for review, as the editor.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn request_review(&self, collection: &str) -> Result<(), Failure> {
        set_status(&self.editor, collection, "to-review").await
    }

    /// Approves, as the reviewer.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn approve(&self, collection: &str) -> Result<(), Failure> {
        set_status(&self.reviewer, collection, "to-sign").await
    }

    /// The number of records of a source collection; `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn count(&self, collection: &str) -> Result<Option<i64>, Failure> {
        let answer = self.editor.get(&source(collection)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer.success()?;
        let records = format!("{}/records", source(collection));
        let answer = self.editor.send(Method::HEAD, &records, &[], None).await?.success()?;
        let count = answer.number("total-objects");
        count.map(Some).ok_or_else(|| Failure::failed(format!("{records}: no Total-Objects")))
    }

    /// The workflow's status of a source collection; empty without one.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn status(&self, collection: &str) -> Result<String, Failure> {
        let answer = self.editor.get_json(&source(collection)).await?;
        Ok(answer["data"]["status"].as_str().unwrap_or_default().to_owned())
    }
}

/// The path of a source collection.
pub(crate) fn source(collection: &str) -> String {
    format!("/buckets/{SOURCE}/collections/{collection}")
}

/// The path of a published collection.
pub(crate) fn destination(collection: &str) -> String {
    format!("/buckets/{DESTINATION}/collections/{collection}")
}

/// Asks for a step of the workflow.
///
/// # Errors
///
/// [`Failure`] when the writer refuses.
pub(crate) async fn set_status(
    user: &Client,
    collection: &str,
    status: &str,
) -> Result<(), Failure> {
    let body = json!({"data": {"status": status}});
    user.send(Method::PATCH, &source(collection), &[], Some(&body)).await?.success()?;
    Ok(())
}

fn user_id(hello: &Value, client: &Client) -> Result<String, Failure> {
    hello["user"]["id"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::Failed(format!("{}: the password is not accepted", client.base())))
}
