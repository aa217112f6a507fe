//! Makes the forms of bodies that take long, while nobody waits for them.

use std::sync::{Arc, mpsc};

use tokio::{sync::watch, task::spawn_blocking};

use crate::{app::App, snapshot::Board};

/// A state that is to be completed, until it is told that there is a later one.
type Order = watch::Receiver<()>;

/// Completes the forms of what is served, the smallest bodies first, for ever. What was published
/// meanwhile goes before the rest of what was there.
pub async fn polish(app: App) {
    let mut moves = app.board.moves();
    let mut orders = worker(app.board.clone());
    loop {
        moves.borrow_and_update();
        if orders.send(moves.clone()).is_err() {
            tracing::error!("compression failed; gzip was served");
            orders = worker(app.board.clone());
            // It has just begun to listen.
            let _ = orders.send(moves.clone());
        }
        if moves.changed().await.is_err() {
            return;
        }
    }
}

/// One thread for all of it, until nobody gives orders: encoders leave memory to the thread that they
/// ran on, and each of a pool would come to have as much.
fn worker(board: Arc<Board>) -> mpsc::Sender<Order> {
    let (sender, orders) = mpsc::channel::<Order>();
    spawn_blocking(move || {
        for order in orders {
            complete(&board, &order);
        }
    });
    sender
}

fn complete(board: &Board, order: &Order) {
    let Some(published) = board.published() else { return };
    for list in published.incomplete() {
        // A watch whose sender is gone: the process ends.
        if order.has_changed().unwrap_or(true) {
            return;
        }
        list.complete();
    }
}
