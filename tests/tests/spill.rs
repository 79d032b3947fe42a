//! Row 28: scratch that leaves the enclave comes back as it was last, or the job fails; and
//! nothing is ever sealed twice under one nonce.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mc2_client::session::Session;
use mc2_tests::{Asked, Finished, Lie, Run, Stack, process};

/// Bytes of a page: 64 KiB, and nothing beside it.
const PAGE: usize = 64 << 10;

/// Writes 24 MiB, of which 16 stay in the enclave, reads them in another order, overwrites a
/// third, and reads them again.
fn spilling() -> Run {
    Run::of("hostile", &["spill", "24"]).limits(256 << 20, Duration::from_secs(60), 1 << 20)
}

async fn run(stack: &Stack, session: &Session<'_>) -> Finished {
    stack
        .submit(session, &spilling(), &BTreeMap::new())
        .await
        .expect("a receipt")
}

fn page_read(asked: &Asked) -> bool {
    asked.is("GET", "/v1/spill/")
}

fn page_write(asked: &Asked) -> bool {
    asked.is("PUT", "/v1/spill/")
}

/// Area and slot.
fn slot(asked: &Asked) -> (String, u64) {
    let (area, slot) = asked.path.rsplit_once('/').expect("a page's path");
    (area.to_owned(), slot.parse().expect("a slot"))
}

/// Row 28.
#[tokio::test]
async fn scratch_that_spills_comes_back_and_no_page_is_sealed_twice_alike() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    liar.remember();
    let finished = stack.run(&spilling()).await.expect("a receipt");
    assert_eq!(
        finished.stdout(),
        "verified 24 MiB\n",
        "{}",
        finished.reason()
    );
    assert!(finished.observed(0).instances[0].spilled_bytes > 8 << 20);
    let written = liar.recall(page_write);
    assert!(written.len() > 128, "{} pages", written.len());
    let slots: BTreeSet<_> = written
        .iter()
        .map(|exchange| exchange.asked.path.clone())
        .collect();
    assert_eq!(slots.len(), written.len(), "a number was used twice");
    let starts: BTreeSet<_> = written
        .iter()
        .map(|exchange| &exchange.request[..32])
        .collect();
    assert_eq!(starts.len(), written.len(), "two pages look alike");
    assert!(
        written
            .iter()
            .all(|exchange| exchange.request.len() == PAGE)
    );
}

/// Row 28.
#[tokio::test]
async fn a_page_that_is_older_moved_or_altered_fails_the_job() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let session = stack.session(&spilling()).await.expect("a session");
    let another = Lie::change(|_, _| vec![7; PAGE]);
    for (lie, reason) in [
        (Lie::Flip(0), "spill-corrupt"),
        (Lie::Flip(-1), "spill-corrupt"),
        (Lie::Flip(40_000), "spill-corrupt"),
        (another, "spill-corrupt"),
        (Lie::Cut(1), "spill-corrupt"),
        (Lie::Bytes(Default::default()), "spill-corrupt"),
        (Lie::Grow(1), "spill-unavailable"),
        (Lie::Endless, "spill-unavailable"),
        (Lie::Break, "spill-unavailable"),
        (Lie::Gzip, "spill-unavailable"),
        (Lie::Status(404), "spill-unavailable"),
        (Lie::Status(500), "spill-unavailable"),
    ] {
        let what = format!("{lie:?}");
        liar.lie(lie, page_read);
        let finished = run(&stack, &session).await;
        assert!(liar.lies() > 0, "{what}: no page was read");
        assert_eq!(finished.reason(), reason, "{what}");
    }
    // Another page of the same run in its place: moved, and often older.
    for back in [1, 5] {
        liar.tell(move |asked| {
            if !page_read(asked) {
                return None;
            }
            let (area, slot) = slot(asked);
            (slot > back).then(|| Lie::Instead(format!("{area}/{}", slot - back)))
        });
        assert_eq!(
            run(&stack, &session).await.reason(),
            "spill-corrupt",
            "{back} earlier"
        );
    }
    liar.repent();
    assert_eq!(run(&stack, &session).await.stdout(), "verified 24 MiB\n");
}

/// Row 28.
#[tokio::test]
async fn a_page_the_host_says_it_keeps_and_does_not_fails_the_job() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let session = stack.session(&spilling()).await.expect("a session");
    for lie in [
        Lie::Swallow,
        Lie::Status(500),
        Lie::Status(507),
        Lie::Status(403),
    ] {
        let what = format!("{lie:?}");
        liar.lie(lie, page_write);
        assert_eq!(
            run(&stack, &session).await.reason(),
            "spill-unavailable",
            "{what}"
        );
    }
    // Keeps another page than it was given.
    liar.lie(
        Lie::request(|_, mut page| {
            page[100] ^= 1;
            page
        }),
        page_write,
    );
    assert_eq!(run(&stack, &session).await.reason(), "spill-corrupt");
}

/// Row 28: a page of one run is nothing in another.
#[tokio::test]
async fn a_page_of_another_run_fails_the_job() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let session = stack.session(&spilling()).await.expect("a session");
    liar.remember();
    assert_eq!(run(&stack, &session).await.reason(), "succeeded");
    let kept: BTreeMap<u64, bytes::Bytes> = liar
        .recall(page_write)
        .into_iter()
        .map(|exchange| (slot(&exchange.asked).1, exchange.request))
        .collect();
    liar.tell(move |asked| {
        let page = page_read(asked).then(|| kept.get(&slot(asked).1))??;
        Some(Lie::Bytes(page.clone()))
    });
    assert_eq!(run(&stack, &session).await.reason(), "spill-corrupt");
}

/// Row 28: an output is rewritten as often as the guest likes, and sealed when it is whole.
#[tokio::test]
async fn overwriting_an_output_leaves_one_object_sealed_once() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    liar.remember();
    let run = Run::of("hostile", &["overwrite"]).output("result");
    let finished = stack.run(&run).await.expect("a receipt");
    let result = &finished.outputs["result"];
    let expected = [&[b'b'; 70_000][..], &[0; 30_000], b"end"].concat();
    assert!(*result == expected, "another result");
    let mut places = BTreeSet::new();
    for exchange in liar.recall(|asked| asked.is("PUT", "/v1/uploads/")) {
        let place = (exchange.asked.path.clone(), exchange.asked.query.clone());
        assert!(
            places.insert(place),
            "{:?} was sealed twice",
            exchange.asked
        );
    }
}

/// Row 28: a run's scratch is gone when the run is.
#[tokio::test]
async fn nothing_of_the_scratch_is_left_with_the_host() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    liar.remember();
    assert_eq!(
        stack.run(&spilling()).await.expect("a receipt").reason(),
        "succeeded"
    );
    let area = slot(&liar.recall(page_write)[0].asked).0;
    // The runtime says so in its own time.
    let drops = |asked: &Asked| asked.method == "DELETE" && asked.path == area;
    let dropped = async || !liar.recall(drops).is_empty();
    process::until(Duration::from_secs(60), "it is dropped", dropped).await;
}
