//! Uploads that break off: by the end of the command, or of the host. They go on where they were.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use http::Method;
use mc2_client::{
    http::{Client, HostAddress, Request, Trust},
    seal::{PART_LEN, object::LocalObject},
};
use mc2_tests::{Apart, Asked, Lie, Place, Stack, ended, until};

/// A sealed version of a dataset, of so many bytes of zeros.
fn sealed(place: &Place, length: u64) -> LocalObject {
    File::create(place.at("zeros"))
        .and_then(|file| file.set_len(length))
        .unwrap();
    ended(&place.mc2(&["keygen"]), 0);
    ended(&place.mc2(&["seal", "zeros", "--name", "zeros"]), 0);
    LocalObject::read(&place.at("zeros.sealed")).unwrap()
}

/// Starts `mc2 upload` of what was sealed.
fn start(place: &Place, host: &str, what: &str) -> Child {
    let line = ["upload", what, "--name", "zeros", "--host", host];
    let mut command = place.command("mc2", &line);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn is_part(asked: &Asked) -> bool {
    asked.method == Method::PUT && asked.path.contains("/files/")
}

/// The first byte of the part that is sent.
fn offset(asked: &Asked) -> u64 {
    let query = asked.query.as_deref().unwrap_or_default();
    query.strip_prefix("offset=").unwrap().parse().unwrap()
}

/// Row 42.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_process_is_killed_goes_on_in_the_next_and_sends_nothing_twice() {
    let (stack, liar) = Stack::lying_to_client().await;
    let host = format!("unix:{}", stack.socket().display());
    let place = Place::new();
    let object = sealed(&place, 8 * PART_LEN as u64);
    liar.remember();
    liar.lie(Lie::Silent, |asked| {
        is_part(asked) && offset(asked) >= 3 * PART_LEN as u64
    });
    let mut first = start(&place, &host, "zeros.sealed");
    until(|| liar.lies() == 1);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(liar.recall(is_part).len(), 3);

    liar.repent();
    let second = start(&place, &host, "zeros.sealed");
    ended(&second.wait_with_output().unwrap(), 0);
    let parts = liar.recall(is_part);
    let offsets: BTreeSet<u64> = parts.iter().map(|part| offset(&part.asked)).collect();
    assert_eq!(offsets.len(), parts.len(), "a part was sent twice");
    let sent: u64 = parts.iter().map(|part| part.request.len() as u64).sum();
    let file = fs::metadata(object.path().join("files/0")).unwrap();
    assert_eq!(sent, file.len());
    let stored = stack.remote.manifest_bytes(object.id()).await.unwrap();
    assert_eq!(stored.1, object.manifest_bytes());

    // It has ended: the next upload of it is one of its own.
    let third = start(&place, &host, "zeros.sealed");
    ended(&third.wait_with_output().unwrap(), 0);
}

/// The answer to a commit may be lost with whoever waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_committed_unheard_is_found_and_not_sent_again() {
    let (stack, liar) = Stack::lying_to_client().await;
    let host = format!("unix:{}", stack.socket().display());
    let place = Place::new();
    sealed(&place, PART_LEN as u64);
    liar.lie(Lie::Break, |asked| asked.path.ends_with("/commit"));
    let first = start(&place, &host, "zeros.sealed");
    until(|| liar.lies() > 0);
    let mut first = first;
    first.kill().unwrap();
    first.wait().unwrap();
    liar.repent();
    liar.remember();
    let second = start(&place, &host, "zeros.sealed");
    ended(&second.wait_with_output().unwrap(), 0);
    assert_eq!(liar.recall(is_part).len(), 0);
}

/// Row 42.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_when_its_host_was_killed_and_started_again() {
    let apart = Apart::start();
    let host = format!("unix:{}", apart.socket().display());
    let place = Place::new();
    let length = 64 * PART_LEN as u64;
    let object = sealed(&place, length);
    let uploads = apart.socket().parent().unwrap().join("host/uploads");
    for what in ["zeros.sealed", "zeros"] {
        let running = start(&place, &host, what);
        while size(&uploads) < 2 * PART_LEN as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
        apart.kill_host();
        let there = size(&uploads);
        assert!(there < length, "it was too quick: {there} bytes are there");
        apart.start_host();
        ended(&running.wait_with_output().unwrap(), 0);
        // What was there was not sent again, but for the part that broke off.
        let left = (length - there).div_ceil(PART_LEN as u64);
        let parts = parts_taken(&host).await;
        assert!((left..=left + 2).contains(&parts), "{parts} of {left}");
    }
    apart.reconnect().await;
    let stored = apart.remote.manifest_bytes(object.id()).await.unwrap();
    assert_eq!(stored.1, object.manifest_bytes());
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map_while(Result::ok).map(of).sum()
}

/// How many parts of files a host took since its start.
async fn parts_taken(host: &str) -> u64 {
    let address: HostAddress = host.parse().unwrap();
    let client = Client::new(address, &Trust::default()).unwrap();
    let call = Request::get("/metrics".to_owned(), 1 << 20);
    let answer = client.send(&call).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let row = text.lines().find(|line| {
        let words = [
            "mc2_host_requests_total",
            "/v1/uploads/{upload}/files/{index}",
            "status=\"204\"",
        ];
        words.iter().all(|word| line.contains(word))
    });
    let row = row.unwrap_or_else(|| panic!("no row of parts in {text}"));
    row.rsplit(' ').next().unwrap().parse().unwrap()
}
