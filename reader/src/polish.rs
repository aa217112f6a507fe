//! Makes the forms of bodies that take long, while nobody waits for them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
};

use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    app::App,
    snapshot::{Board, List},
};

/// A state that is to be completed, until it is told that there is a later one.
type Order = watch::Receiver<()>;

/// Completes the forms of what is served, the smallest bodies first, for ever. What was published
/// meanwhile goes before the rest of what was there.
pub async fn polish(app: App) {
    let mut moves = app.board.moves();
    let orders = worker(app.board.clone());
    loop {
        moves.borrow_and_update();
        // Both end with the process only.
        if orders.send(moves.clone()).is_err() || moves.changed().await.is_err() {
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
    let failed = each(published.incomplete(), order, |list: &&List| list.complete());
    if failed > 0 {
        tracing::error!(failed, "compression failed; gzip is served, until the next publication");
    }
}

/// Does what it can of the work, and tells how much failed: that is tried again with the next order,
/// as whatever is not there then. One panic keeps nothing else waiting.
fn each<T>(all: Vec<T>, order: &Order, work: impl Fn(&T)) -> usize {
    let mut failed = 0;
    for one in all {
        // A watch whose sender is gone: the process ends.
        if order.has_changed().unwrap_or(true) {
            break;
        }
        // A form is there whole, or not at all.
        if catch_unwind(AssertUnwindSafe(|| work(&one))).is_err() {
            failed += 1;
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_panics_is_counted_and_keeps_nothing_else_waiting() {
        let (_sender, order) = watch::channel(());
        let done = RefCell::new(Vec::new());

        let failed = each(vec![1, 2, 3], &order, |number| {
            assert_ne!(*number, 2, "fails on purpose");
            done.borrow_mut().push(*number);
        });

        assert_eq!((failed, done.into_inner()), (1, vec![1, 3]));
    }

    #[test]
    fn a_later_state_goes_first() {
        let (sender, order) = watch::channel(());
        let done = RefCell::new(Vec::new());

        each(vec![1, 2, 3], &order, |number| {
            done.borrow_mut().push(*number);
            let _ = sender.send(());
        });

        assert_eq!(done.into_inner(), [1]);
    }
}
