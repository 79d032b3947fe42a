//! Components, objects and uploads.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod support;

use http::{Method, StatusCode, header};
use mc2_protocol::{Digest, documents::storage::Committed};
use mc2_wire::routes::{
    component_path, digests_path, file_path, manifest_path, upload_commit_path,
    upload_digests_path, upload_file_path, upload_path,
};
use sha2::Digest as _;
use support::{Fixture, Object, commit, config, next, object, problem, upload, upload_id};

#[tokio::test]
async fn an_uploaded_object_comes_back_byte_for_byte() {
    let fixture = Fixture::start(|config| config).await;
    let object = object(3_000_000);
    upload(&fixture, 1, &object, 1_000_000).await;
    let missing = fixture.get(&manifest_path(&object.id)).await;
    assert_eq!(
        problem(&missing),
        (StatusCode::NOT_FOUND, "not-found".into())
    );

    let answer = commit(&fixture, 1, &object).await;
    let committed: Committed = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(committed.object, object.id);
    // The answer was lost, and the client asks again.
    assert_eq!(commit(&fixture, 1, &object).await.status(), StatusCode::OK);

    assert_eq!(
        fixture.get(&manifest_path(&object.id)).await.body()[..],
        object.manifest
    );
    assert_eq!(
        fixture.get(&digests_path(&object.id, 0)).await.body()[..],
        object.digests
    );
    let path = file_path(&object.id, 0);
    assert_eq!(fixture.get(&path).await.body()[..], object.sealed);
    for (first, last) in [(0, 0), (65_536, 131_071), (1, 2_999_999)] {
        let part = fixture.range(&path, &format!("bytes={first}-{last}")).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.body()[..], object.sealed[first..=last]);
        let expected = format!("bytes {first}-{last}/{}", object.sealed.len());
        assert_eq!(part.headers()[header::CONTENT_RANGE], expected);
    }
    let head = fixture.ask(Method::HEAD, &path, "").await;
    assert_eq!(
        head.headers()[header::CONTENT_LENGTH],
        object.sealed.len().to_string()
    );

    let past = fixture.range(&path, "bytes=99999999-").await;
    assert_eq!(
        problem(&past),
        (StatusCode::RANGE_NOT_SATISFIABLE, "range".into())
    );
    assert_eq!(
        past.headers()[header::CONTENT_RANGE],
        format!("bytes */{}", object.sealed.len())
    );
    let missing = fixture.get(&file_path(&object.id, 1)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_part_grows_only_at_its_end_and_a_repetition_is_no_error() {
    let fixture = Fixture::start(|config| config).await;
    let put = |offset, body: &'static [u8]| {
        let path = upload_file_path(&upload_id(2), 0, offset);
        let fixture = &fixture;
        async move { fixture.ask(Method::PUT, &path, body).await }
    };
    assert_eq!(put(0, b"abc").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(put(3, b"def").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(put(3, b"def").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        problem(&put(3, b"xyz").await),
        (StatusCode::CONFLICT, "offset".into())
    );
    assert_eq!(
        problem(&put(7, b"g").await),
        (StatusCode::CONFLICT, "offset".into())
    );
    let stored = fixture
        .folder
        .path()
        .join("state/uploads")
        .join(upload_id(2).to_string());
    assert_eq!(std::fs::read(stored.join("files/0")).unwrap(), b"abcdef");

    let dropped = fixture
        .ask(Method::DELETE, &upload_path(&upload_id(2)), "")
        .await;
    assert_eq!(dropped.status(), StatusCode::NO_CONTENT);
    assert!(!stored.exists());
    let again = fixture
        .ask(Method::DELETE, &upload_path(&upload_id(2)), "")
        .await;
    assert_eq!(
        problem(&again),
        (StatusCode::NOT_FOUND, "unknown-upload".into())
    );
}

#[tokio::test]
async fn what_is_not_whole_does_not_become_an_object() {
    let fixture = Fixture::start(|config| config).await;
    let object = object(200_000);
    let unknown = commit(&fixture, 3, &object).await;
    assert_eq!(
        problem(&unknown),
        (StatusCode::NOT_FOUND, "unknown-upload".into())
    );

    let short = Object {
        sealed: object.sealed[..object.sealed.len() - 1].to_vec(),
        ..support::object(0)
    };
    upload(&fixture, 3, &short, 100_000).await;
    let refused = commit(&fixture, 3, &object).await;
    assert_eq!(
        problem(&refused),
        (StatusCode::UNPROCESSABLE_ENTITY, "incomplete".into())
    );

    upload(&fixture, 4, &object, 100_000).await;
    let extra = upload_file_path(&upload_id(4), 1, 0);
    fixture.ask(Method::PUT, &extra, "more").await;
    let refused = commit(&fixture, 4, &object).await;
    assert_eq!(
        problem(&refused),
        (StatusCode::UNPROCESSABLE_ENTITY, "incomplete".into())
    );

    upload(&fixture, 5, &object, 100_000).await;
    let path = upload_commit_path(&upload_id(5));
    let refused = fixture.ask(Method::POST, &path, "{}").await;
    assert_eq!(
        problem(&refused),
        (StatusCode::BAD_REQUEST, "manifest".into())
    );
    assert_eq!(
        fixture.get(&manifest_path(&object.id)).await.status(),
        StatusCode::NOT_FOUND
    );
    // The upload that was refused can still be put right.
    assert_eq!(commit(&fixture, 5, &object).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_component_is_stored_only_under_its_own_digest() {
    let fixture = Fixture::start(|config| config).await;
    let bytes = vec![42; 5_000_000];
    let digest = Digest::of(&bytes);
    let other = component_path(&Digest::of(b"other"));
    let refused = fixture.ask(Method::PUT, &other, bytes.clone()).await;
    assert_eq!(
        problem(&refused),
        (StatusCode::UNPROCESSABLE_ENTITY, "digest".into())
    );
    assert_eq!(fixture.get(&other).await.status(), StatusCode::NOT_FOUND);

    let path = component_path(&digest);
    assert_eq!(
        fixture
            .ask(Method::PUT, &path, bytes.clone())
            .await
            .status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        fixture.ask(Method::HEAD, &path, "").await.status(),
        StatusCode::OK
    );
    assert_eq!(fixture.get(&path).await.body()[..], bytes);
    let left: Vec<_> = std::fs::read_dir(fixture.folder.path().join("state/components"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, [format!("{digest}.wasm").as_str()]);
}

#[tokio::test]
async fn hostile_requests_get_a_problem() {
    let fixture = Fixture::start(|config| config).await;
    let zeros = "0".repeat(64);
    let id = upload_id(6);
    for (method, path, status, code) in [
        (Method::GET, "/v2".to_owned(), 404, "unknown-route"),
        (
            Method::GET,
            "/v1/objects/..%2f..%2fetc/manifest".into(),
            400,
            "path",
        ),
        (
            Method::GET,
            format!(
                "/v1/objects/{}/manifest",
                zeros.to_uppercase().replace('0', "A")
            ),
            400,
            "path",
        ),
        (
            Method::GET,
            format!("/v1/objects/{zeros}/files/-1"),
            400,
            "path",
        ),
        (
            Method::GET,
            format!("/v1/objects/{zeros}/files/99999999999999999999999"),
            400,
            "path",
        ),
        (Method::GET, "/v1/components/%ff".into(), 400, "path"),
        (
            Method::PUT,
            format!("/v1/uploads/{id}/files/0"),
            400,
            "query",
        ),
        (
            Method::PUT,
            format!("/v1/uploads/{id}/files/0?offset=0&more=1"),
            400,
            "query",
        ),
        (
            Method::PUT,
            format!("/v1/uploads/{id}/files/40000?offset=0"),
            400,
            "index",
        ),
        (
            Method::PUT,
            format!("/v1/objects/{zeros}/manifest"),
            405,
            "method",
        ),
        (Method::POST, "/v1/sessions".into(), 400, "request"),
        (
            Method::POST,
            format!("/v1/sessions/{zeros}/messages"),
            404,
            "unknown-session",
        ),
        (
            Method::GET,
            format!("/v1/sessions/{zeros}/jobs/1?after=-1"),
            400,
            "query",
        ),
        // What is for runtimes alone.
        (Method::GET, "/v1/control".into(), 404, "unknown-route"),
        (
            Method::PUT,
            format!("/v1/cache/{zeros}"),
            404,
            "unknown-route",
        ),
        (
            Method::PUT,
            format!("/v1/spill/{id}/0"),
            404,
            "unknown-route",
        ),
        (
            Method::POST,
            format!("/v1/sessions/{zeros}/jobs/1/events"),
            405,
            "method",
        ),
        (
            Method::PUT,
            format!("/v1/sessions/{zeros}/jobs/1/receipt?success=true"),
            405,
            "method",
        ),
    ] {
        let answer = fixture.ask(method, &path, "x").await;
        let expected = (StatusCode::from_u16(status).unwrap(), code.to_owned());
        assert_eq!(problem(&answer), expected, "{path}");
    }
}

#[tokio::test]
async fn a_body_too_large_or_too_slow_is_refused_and_leaves_nothing() {
    let fixture = Fixture::start(|config| config).await;
    let path = upload_file_path(&upload_id(7), 0, 0);
    let mut raw = raw_request(&fixture, "PUT", &path, "content-length: 9000000", b"x").await;
    assert!(read_all(&mut raw).await.starts_with("HTTP/1.1 413"));
    let mut raw = raw_request(&fixture, "PUT", &path, "content-length: 3", b"x").await;
    assert!(read_all(&mut raw).await.starts_with("HTTP/1.1 408"));
    let mut endless = raw_request(&fixture, "PUT", &path, "transfer-encoding: chunked", b"").await;
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let answer = async {
        for _ in 0..16 {
            if tokio::io::AsyncWriteExt::write_all(&mut endless, &chunk)
                .await
                .is_err()
            {
                break;
            }
        }
        read_all(&mut endless).await
    };
    assert!(answer.await.starts_with("HTTP/1.1 413"));
    let uploads = std::fs::read_dir(fixture.folder.path().join("state/uploads")).unwrap();
    let begun = uploads.filter(|it| it.as_ref().unwrap().file_name().len() == 32);
    assert_eq!(begun.count(), 0);
}

#[tokio::test]
async fn an_upload_goes_on_with_the_next_host_and_not_after_a_start_of_the_machine() {
    let fixture = Fixture::start(|config| config).await;
    let object = object(300_000);
    let id = upload_id(8);
    let half = &object.sealed[..100_000];
    let put = |offset: usize| upload_file_path(&id, 0, offset as u64);
    let sent = fixture.ask(Method::PUT, &put(0), half.to_vec()).await;
    assert_eq!(sent.status(), StatusCode::NO_CONTENT);
    let left = |state: &std::path::Path| {
        // What a runtime was uploading, and what was being removed.
        for name in ["runtimes/00", "removed-00"] {
            std::fs::create_dir_all(state.join("uploads").join(name)).unwrap();
        }
    };
    let fixture = next(fixture, left).await;
    for name in ["runtimes/00", "removed-00"] {
        let path = fixture.folder.path().join("state/uploads").join(name);
        assert!(!path.exists(), "{name}");
    }
    let there = fixture.get(&upload_path(&id)).await;
    let expected = br#"{"streams":[{"index":0,"file":100000,"digests":0}]}"#;
    assert_eq!(there.body()[..], *expected);
    let rest = object.sealed[100_000..].to_vec();
    fixture.ask(Method::PUT, &put(100_000), rest).await;
    let digests = upload_digests_path(&id, 0, 0);
    let sent = fixture.ask(Method::PUT, &digests, object.digests.clone());
    assert_eq!(sent.await.status(), StatusCode::NO_CONTENT);
    let commit = upload_commit_path(&id);
    let stored = fixture.ask(Method::POST, &commit, object.manifest.clone());
    assert_eq!(stored.await.status(), StatusCode::OK);
    let file = fixture.get(&file_path(&object.id, 0)).await;
    assert!(file.body()[..] == object.sealed);

    // What was not flushed may be anything after a power cut.
    fixture.ask(Method::PUT, &put(0), half.to_vec()).await;
    let another = |state: &std::path::Path| {
        std::fs::write(state.join("machine-start"), "another").unwrap();
    };
    let fixture = next(fixture, another).await;
    let gone = problem(&fixture.get(&upload_path(&id)).await);
    assert_eq!(gone, (StatusCode::NOT_FOUND, "unknown-upload".into()));
}

#[tokio::test]
async fn an_upload_that_the_last_host_left_counts_for_the_token_it_was_sent_with() {
    let with_token = |mut config: mc2_host::HostConfig| {
        config.tokens = vec![mc2_host::Token {
            name: "bank".to_owned(),
            sha256: sha2::Sha256::digest("secret").into(),
            rate: None,
            bytes: Some(320_000),
        }];
        config
    };
    let fixture = Fixture::start(with_token).await;
    let object = object(300_000);
    let ask = async |fixture: &Fixture, method, path: &str, body: Vec<u8>| {
        let mut request = support::build(method, path, body);
        let token = "Bearer secret".parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, token);
        fixture.send(request).await
    };
    let put = |id: u8| upload_file_path(&upload_id(id), 0, 0);
    let sent = ask(&fixture, Method::PUT, &put(8), object.sealed.clone()).await;
    assert_eq!(sent.status(), StatusCode::NO_CONTENT);

    let Fixture { host, folder, .. } = fixture;
    host.shutdown().await;
    let host = mc2_host::Host::start(with_token(config(folder.path()))).await;
    let fixture = Fixture::over(host.unwrap(), folder);
    let full = (StatusCode::INSUFFICIENT_STORAGE, "quota".into());
    let more = ask(&fixture, Method::PUT, &put(9), vec![0; 100_000]).await;
    assert_eq!(problem(&more), full);
    // Committed it counts as before, and has nothing of the upload's.
    let digests = upload_digests_path(&upload_id(8), 0, 0);
    let sent = ask(&fixture, Method::PUT, &digests, object.digests.clone()).await;
    assert_eq!(sent.status(), StatusCode::NO_CONTENT);
    let commit = upload_commit_path(&upload_id(8));
    let stored = ask(&fixture, Method::POST, &commit, object.manifest.clone()).await;
    assert_eq!(stored.status(), StatusCode::OK);
    let more = ask(&fixture, Method::PUT, &put(9), vec![0; 100_000]).await;
    assert_eq!(problem(&more), full);
    let path = fixture.folder.path().join("state/objects");
    let names = std::fs::read_dir(path.join(object.id.to_string())).unwrap();
    assert_eq!(names.count(), 3);
}

#[tokio::test]
async fn an_upload_that_nothing_is_sent_for_is_dropped_in_time_and_others_are_not() {
    let fixture = Fixture::start(|mut config| {
        config.retention.every = std::time::Duration::from_millis(10);
        config.retention.uploads = std::time::Duration::from_secs(3);
        config
    })
    .await;
    let [silent, slow] = [8, 9].map(upload_id);
    for id in [silent, slow] {
        let path = upload_file_path(&id, 0, 0);
        fixture.ask(Method::PUT, &path, "x").await;
    }
    let mut offset = 1;
    while fixture.get(&upload_path(&silent)).await.status() == StatusCode::OK {
        let path = upload_file_path(&slow, 0, offset);
        let sent = fixture.ask(Method::PUT, &path, "x").await;
        assert_eq!(sent.status(), StatusCode::NO_CONTENT);
        offset += 1;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        fixture.get(&upload_path(&slow)).await.status(),
        StatusCode::OK
    );
    let folder = fixture.folder.path().join("state/uploads");
    assert!(!folder.join(silent.to_string()).exists());
}

#[tokio::test]
async fn leftovers_of_a_crash_are_gone_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir_all(state.join("uploads/half/files")).unwrap();
    std::fs::create_dir_all(state.join("components")).unwrap();
    std::fs::write(state.join("uploads/half/files/0"), "half").unwrap();
    std::fs::write(state.join("components/tmp-abc"), "half").unwrap();
    drop(std::os::unix::net::UnixListener::bind(state.join("0a1b2c3d.sock")).unwrap());
    let host = mc2_host::Host::start(config(folder.path())).await.unwrap();
    assert!(!state.join("0a1b2c3d.sock").exists());
    assert!(!state.join("uploads/half").exists());
    assert!(!state.join("components/tmp-abc").exists());
    let second = mc2_host::Host::start(config(folder.path())).await;
    assert!(matches!(
        second.err(),
        Some(mc2_host::HostError::InUse { .. })
    ));
    host.shutdown().await;
    assert!(!folder.path().join("client.sock").exists());
}

async fn raw_request(
    fixture: &Fixture,
    method: &str,
    path: &str,
    header: &str,
    body: &[u8],
) -> Box<dyn support::peer::Stream> {
    let mut stream = support::peer::connect(&fixture.host.client_addresses()[0])
        .await
        .unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n");
    let bytes = [head.as_bytes(), body].concat();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes)
        .await
        .unwrap();
    stream
}

async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::io::AsyncReadExt::read(stream, &mut bytes)
        .await
        .unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
