//! Progress events: the guest's words, signed by the session, sealed to each recipient the policy
//! names, and slowed down so that they tell the host little.

use std::{sync::Arc, time::Duration};

use mc2_protocol::{
    Card,
    encoding::to_json,
    storage::{Event, SealedEvent, events_path},
};
use mc2_sandbox::ProgressReceiver;

use crate::{random, session::Session, storage::Storage};

/// At most one event leaves in this time.
const PAUSE: Duration = Duration::from_millis(250);

/// Sends what arrives, the newest where several wait, until the run drops its end.
pub(crate) async fn forward(
    storage: Arc<Storage>,
    session: Arc<Session>,
    number: u64,
    recipients: Vec<Arc<Card>>,
    mut events: ProgressReceiver,
) {
    let path = events_path(&session.digest, number);
    let mut sequence = 0;
    while let Some(mut event) = events.recv().await {
        while let Ok(newer) = events.try_recv() {
            event = newer;
        }
        let event = Event {
            session: session.digest,
            number,
            sequence,
            permille: (event.fraction.clamp(0.0, 1.0) * 1000.0) as u16,
            text: event.text,
        };
        sequence += 1;
        for card in &recipients {
            let sealed = SealedEvent::seal(&event, card, &session.signing_key, &mut random::rng());
            // A lost event is a lost event: the receipt says how the job ended.
            let _ = storage.post(&path, to_json(&sealed).into()).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
