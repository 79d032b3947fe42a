//! Small objects, which are stored and answered in one piece.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod support;

use http::{Method, StatusCode};
use mc2_protocol::{
    Digest,
    sealed::small::{SmallObject, Stream},
};
use mc2_wire::routes::{
    METRICS_PATH, digests_path, file_path, manifest_path, object_path, small_object_path,
};
use support::{Fixture, Object, commit, next, object, problem, upload};

/// An object in one piece.
fn in_one_piece(object: &Object) -> Vec<u8> {
    let stream = Stream {
        digests: &object.digests,
        file: &object.sealed,
    };
    SmallObject::encode(&object.manifest, [stream]).unwrap()
}

#[tokio::test]
async fn a_small_object_of_a_runtime_s_comes_back_whole_and_in_its_parts_after_a_restart_too() {
    let mut fixture = Fixture::with_peer().await;
    let (small, large) = (object(1000), object(300_000));
    let whole = in_one_piece(&small);
    let put = async |fixture: &Fixture, object: &Digest, bytes: &[u8]| {
        let (peer, path) = (fixture.peer([7; 16]), object_path(object));
        let answer = peer.storage(Method::PUT, &path, bytes.to_vec().into());
        answer.await
    };
    // What is none, or another's, is nothing.
    let cut = &whole[..whole.len() - 1];
    let refused = problem(&put(&fixture, &small.id, cut).await);
    assert_eq!(refused, (StatusCode::BAD_REQUEST, "object".into()));
    let refused = problem(&put(&fixture, &large.id, &whole).await);
    assert_eq!(refused, (StatusCode::UNPROCESSABLE_ENTITY, "digest".into()));
    let missing = fixture.get(&small_object_path(&small.id)).await;
    assert_eq!(
        problem(&missing),
        (StatusCode::NOT_FOUND, "not-found".into())
    );
    // Clients have no such request.
    let by_client = fixture
        .ask(Method::PUT, &object_path(&small.id), whole.clone())
        .await;
    assert_eq!(by_client.status(), StatusCode::METHOD_NOT_ALLOWED);
    // The answer was lost, and it is sent again.
    for _ in 0..2 {
        let answer = put(&fixture, &small.id, &whole).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    // It counts once, with its manifest.
    let metrics = fixture.get(METRICS_PATH).await;
    let counted = format!("mc2_host_objects_bytes {}", whole.len());
    let metrics = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    upload(&fixture, 1, &large, 1_000_000).await;
    assert_eq!(commit(&fixture, 1, &large).await.status(), StatusCode::OK);
    for restarted in [false, true] {
        if restarted {
            fixture = next(fixture, |_| ()).await;
        }
        let get = async |path: &str| fixture.get(path).await.into_body();
        assert_eq!(get(&small_object_path(&small.id)).await, whole);
        assert_eq!(get(&manifest_path(&small.id)).await, small.manifest);
        assert_eq!(get(&file_path(&small.id, 0)).await, small.sealed);
        assert_eq!(get(&digests_path(&small.id, 0)).await, small.digests);
        let part = fixture.range(&file_path(&small.id, 0), "bytes=10-19").await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.body()[..], small.sealed[10..20]);
        let past = fixture.range(&file_path(&small.id, 0), "bytes=9999-").await;
        assert_eq!(past.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        let told: serde_json::Value =
            serde_json::from_slice(&get(&object_path(&small.id)).await).unwrap();
        assert_eq!(told["streams"][0]["file"], small.sealed.len());
        let other = fixture.get(&file_path(&small.id, 1)).await;
        assert_eq!(other.status(), StatusCode::NOT_FOUND);
        let not_small = fixture.get(&small_object_path(&large.id)).await;
        assert_eq!(
            problem(&not_small),
            (StatusCode::NOT_FOUND, "not-small".into())
        );
    }
}

#[tokio::test]
async fn nobody_lays_other_bytes_over_a_small_object_that_is_there() {
    let fixture = Fixture::with_peer().await;
    let small = object(1000);
    let whole = in_one_piece(&small);
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    for bytes in [&whole, &other] {
        let (peer, path) = (fixture.peer([7; 16]), object_path(&small.id));
        let answer = peer.storage(Method::PUT, &path, bytes.clone().into()).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    // A client that knows the object sends as many bytes of its own.
    let junk = Object {
        id: small.id,
        manifest: small.manifest.clone(),
        sealed: vec![0; small.sealed.len()],
        digests: small.digests.clone(),
    };
    upload(&fixture, 1, &junk, 1_000_000).await;
    assert_eq!(commit(&fixture, 1, &junk).await.status(), StatusCode::OK);
    let get = async |path: &str| fixture.get(path).await.into_body();
    assert_eq!(get(&file_path(&small.id, 0)).await, small.sealed);
    assert_eq!(get(&small_object_path(&small.id)).await, whole);
}

#[tokio::test]
async fn a_small_object_that_was_uploaded_in_parts_is_answered_in_one_piece() {
    let fixture = Fixture::start(|config| config).await;
    let object = object(50_000);
    upload(&fixture, 1, &object, 1_000_000).await;
    assert_eq!(commit(&fixture, 1, &object).await.status(), StatusCode::OK);
    let whole = fixture.get(&small_object_path(&object.id)).await;
    assert_eq!(whole.body()[..], in_one_piece(&object));
}
