//! Writes of one list that wait for each other are committed together.
//!
//! A list's timestamp lets one transaction write at a time, and most of that time is the commit's,
//! which waits for the disk. So whoever comes meanwhile waits here, not for PostgreSQL's lock, and
//! then all who wait go in one transaction, in the order in which they came: each is judged on what
//! the former ones left, and refused on its own, as in a batch. What one must not share, another's
//! failure, it does not: then each runs alone.
//!
//! Only records that nobody signs or publishes are written so: what else a write changes is then
//! the same with others or without.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use http::Method;
use shared::{
    error::{ApiError, with_causes},
    http::Reply,
    model::ListPath,
};
use tokio::{
    select,
    sync::{Mutex as Turn, oneshot},
};

use crate::{
    app::App, context::is_published, dispatch::run_together, locks::Outdated, schema::Busy,
    step::Step,
};

/// Most writes of one transaction.
const MAX_GROUP: usize = 64;

/// The lists that are being written.
#[derive(Debug, Default)]
pub struct GroupCommit {
    queues: Mutex<HashMap<ListPath, Arc<Queue>>>,
}

/// Those who write one list.
#[derive(Debug, Default)]
struct Queue {
    /// Held by the one who runs a transaction.
    turn: Turn<()>,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    step: Step,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
enum Answer {
    /// Somebody has run it.
    Result(Result<Reply, ApiError>),
    /// It cannot be run with others.
    Alone(Box<Step>),
}

impl GroupCommit {
    /// Runs a step in a transaction, with others where they wait for the same list.
    ///
    /// # Errors
    ///
    /// [`ApiError`]: a refusal of this step, or a failure; nothing of it was written then.
    pub async fn run(&self, app: &App, step: Step) -> Result<Reply, ApiError> {
        let Some(list) = shared_list(app, &step) else { return alone(app, step).await };
        let queue = self.enter(&list);
        let answer = queue.run(app, step).await;
        self.leave(&list, queue);
        match answer? {
            Answer::Result(result) => result,
            Answer::Alone(step) => alone(app, *step).await,
        }
    }

    fn enter(&self, list: &ListPath) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(list.clone()).or_default().clone()
    }

    /// The last one out forgets the list.
    fn leave(&self, list: &ListPath, queue: Arc<Queue>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        drop(queue);
        if queues.get(list).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(list);
        }
    }
}

impl Queue {
    async fn run(&self, app: &App, step: Step) -> Result<Answer, ApiError> {
        let (answer, mut mine) = oneshot::channel();
        self.waiting().push(Waiting { step, answer });
        let _turn = select! {
            biased;
            answer = &mut mine => return answer.map_err(|error| ApiError::Internal(error.into())),
            turn = self.turn.lock() => turn,
        };
        loop {
            match mine.try_recv() {
                Ok(answer) => return Ok(answer),
                Err(oneshot::error::TryRecvError::Empty) => self.run_group(app).await,
                Err(error) => return Err(ApiError::Internal(error.into())),
            }
        }
    }

    /// Runs those who wait, and tells them what came of it.
    async fn run_group(&self, app: &App) {
        let group: Vec<Waiting> = {
            let mut waiting = self.waiting();
            let size = waiting.len().min(MAX_GROUP);
            waiting.drain(..size).collect()
        };
        let (steps, answers): (Vec<Step>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.step, waiting.answer)).unzip();
        let results: Vec<Answer> = match run_together(app, &steps).await {
            Ok(replies) => replies.into_iter().map(Answer::Result).collect(),
            Err(error) if steps.len() > 1 && is_rolled_back(&error) => {
                steps.into_iter().map(|step| Answer::Alone(Box::new(step))).collect()
            }
            // Whether they were committed is not known: nobody tries again.
            Err(error) => {
                let copies: Vec<ApiError> =
                    (1..steps.len()).map(|_| ApiError::backend(with_causes(&error))).collect();
                [error].into_iter().chain(copies).map(|error| Answer::Result(Err(error))).collect()
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // Who does not wait any more has hung up.
            let _ = answer.send(result);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nothing was written, for certain: a connection that breaks leaves that open.
fn is_rolled_back(error: &ApiError) -> bool {
    let ApiError::Backend(source) = error else { return true };
    if source.is::<Busy>() || source.is::<Outdated>() {
        return true;
    }
    let source = source.downcast_ref::<tokio_postgres::Error>();
    source.is_some_and(|error| error.as_db_error().is_some())
}

async fn alone(app: &App, step: Step) -> Result<Reply, ApiError> {
    let mut replies = run_together(app, &[step]).await?;
    replies.pop().unwrap_or_else(|| Err(ApiError::internal("no reply")))
}

/// The list of a step that changes one record of it and nothing else.
fn shared_list(app: &App, step: &Step) -> Option<ListPath> {
    let operation = step.operation.as_ref().ok()?;
    let list = &operation.list;
    let ListPath::Records(bucket, collection) = list else { return None };
    let is_plain = app.config.signer.resources.role(bucket, collection).is_none()
        && !is_published(app, list, "");
    let one_object = operation.id.is_some() || operation.method == Method::POST;
    let shares = operation.is_write() && one_object && is_plain && step.implied.is_empty();
    shares.then(|| list.clone())
}
