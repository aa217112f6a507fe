//! Connections that are there and do nothing: the price of keep-alive.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    connection::Connection,
    plan::{Call, Plan},
    server::Server,
};
use crate::{failure::Failure, open::catalogue::MONITOR, open::plan::Kind};

/// So many are opened at once.
const AT_ONCE: usize = 64;
/// Longest time for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens connections, each of which has asked once.
///
/// # Errors
///
/// [`Failure::Unavailable`] when one cannot be opened.
pub(crate) async fn open(server: &Arc<Server>, count: u32) -> Result<Vec<Connection>, Failure> {
    let mut plan = Plan::new(&server.prefix);
    plan.call(format!("{MONITOR}?_expected=0"), Kind::Monitor, None, [0, 0]);
    let call = plan.calls().first().cloned();
    let call = call.ok_or_else(|| Failure::failed("the URL of the monitor is none"))?;
    let mut opening = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..count {
        if opening.len() >= AT_ONCE {
            connections.extend(joined(&mut opening).await?);
        }
        opening.spawn(one(Arc::clone(server), call.clone()));
    }
    while let Some(connection) = joined(&mut opening).await? {
        connections.push(connection);
    }
    Ok(connections)
}

type Opening = Result<Connection, &'static str>;

async fn joined(opening: &mut JoinSet<Opening>) -> Result<Option<Connection>, Failure> {
    let Some(one) = opening.join_next().await else { return Ok(None) };
    let one = one.map_err(|error| Failure::failed(error.to_string()))?;
    one.map(Some).map_err(|trouble| {
        let hint = "is `ulimit -n` high enough here and there, and the server's max_connections?";
        Failure::Unavailable(format!("an idle connection: {trouble}; {hint}"))
    })
}

async fn one(server: Arc<Server>, call: Call) -> Opening {
    let mut connection =
        Connection::open(&server, PATIENCE).await.map_err(super::connection::Trouble::name)?;
    let answer = connection.ask(&server, &call, false, PATIENCE).await;
    answer.map_err(super::connection::Trouble::name)?;
    Ok(connection)
}
