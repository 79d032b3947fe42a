//! Waiting until a job may start: the host is asked to hand the challenge on, and may refuse the
//! answers to come through. All it gains is a job that does not run.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use mc2_protocol::documents::receipt::Status;

use super::{Outbox, Report, Reservation};
use crate::{
    Attested,
    session::{Order, Session, Settled, Waiting},
};

/// How long answers are waited for, by a clock that is not to be trusted: it decides when waiting
/// ends, and never that a job starts.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The reason of a job that was given back.
const NOT_STARTED: &str = "not-started";

/// Waits until a job's start is answered, it is cancelled, or nobody answered in time.
pub(crate) async fn await_start(
    outbox: &Outbox,
    session: &Session,
    mut waiting: Waiting,
) -> Settled {
    let (question, number) = (waiting.question.to_bytes().into(), waiting.number());
    let cancellation = waiting.cancellation().clone();
    let asking = pin!(outbox.ask_start(session.terms().digest, number, question));
    let ending = async {
        let stopped = pin!(cancellation.cancelled());
        let wait = select(&mut waiting.all_answered, stopped);
        let _ = tokio::time::timeout(PATIENCE, wait).await;
    };
    match select(pin!(ending), asking).await {
        Either::Left(((), _)) => {}
        Either::Right((never, _)) => match never {},
    }
    session.settle(waiting)
}

/// Leaves the receipt of a job that was given back.
pub(crate) fn not_started(order: &Order, attested: Attested, room: Reservation) {
    let status = Status::Failed {
        step: 0,
        reason: NOT_STARTED.to_owned(),
    };
    let sealed = Report::new(&order.job).seal(order, status, attested);
    room.keep(
        order.terms.digest,
        order.number,
        false,
        sealed.to_bytes().into(),
    );
}
