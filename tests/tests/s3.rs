//! A host that keeps objects, components and receipts in a bucket: a whole job against a real S3
//! server, which fails now and then, and one that is out of reach for a while.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use mc2_client::http::Request;
use mc2_host::Storage;
use mc2_tests::{Run, Stack, StackOptions, draft};
use mc2_wire::routes::manifest_path;
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;

const BUCKET: &str = "sealed";

/// An S3 server over a folder. Of the requests it gets it refuses so many first.
struct S3 {
    folder: TempDir,
    port: u16,
    failures: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl S3 {
    async fn start() -> Self {
        let folder = TempDir::with_prefix("mc2-s3-").expect("a folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let mut builder =
            S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).expect("a server"));
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let failures = Arc::new(AtomicUsize::new(0));
        let fails = Arc::clone(&failures);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, fails) = (service.clone(), Arc::clone(&fails));
                tokio::spawn(async move {
                    let answer = service_fn(|request| answer(&service, &fails, request));
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer);
                    // A connection that breaks is the client's to make again.
                    let _ = served.await;
                });
            }
        });
        Self {
            folder,
            port,
            failures,
            serving,
        }
    }

    fn storage(&self) -> Storage {
        let options = [
            ("aws_endpoint", format!("http://127.0.0.1:{}", self.port)),
            ("aws_allow_http", "true".to_owned()),
            ("aws_region", "here".to_owned()),
            ("aws_access_key_id", "key".to_owned()),
            ("aws_secret_access_key", "secret".to_owned()),
        ];
        Storage {
            url: format!("s3://{BUCKET}/of/this/host"),
            options: options.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }

    /// Refuses the next so many requests.
    fn fail(&self, requests: usize) {
        self.failures.store(requests, Ordering::SeqCst);
    }

    fn files(&self) -> Vec<String> {
        let root = self.folder.path().join(BUCKET).join("of/this/host");
        let mut found = Vec::new();
        list(&root, &root, &mut found);
        found
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    service: &S3Service,
    failures: &AtomicUsize,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, s3s::HttpError> {
    let fails = failures.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    if fails.is_ok() {
        let mut refused = http::Response::new(Body::empty());
        *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(refused);
    }
    service.call(request.map(Body::from)).await
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("below it");
            found.push(name.display().to_string());
        }
    }
}

async fn stack(s3: &S3) -> Stack {
    let options = StackOptions {
        storage: Some(s3.storage()),
        ..Default::default()
    };
    Stack::with(options).await
}

/// More than one part of an upload to the bucket.
fn data() -> Vec<u8> {
    (0..20_000_000_u32).map(|n| (n % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_s_data_component_result_and_receipt_are_in_the_bucket_and_nowhere_else() {
    let s3 = S3::start().await;
    let stack = stack(&s3).await;
    let data = data();
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    // Requests fail at every step, and are tried again.
    s3.fail(2);
    let session = stack.session(&run).await.expect("a session");
    s3.fail(2);
    let objects = stack.release_inputs(&session, &run, 1).await.expect("keys");
    s3.fail(2);
    let finished = stack
        .submit(&session, &run, &objects)
        .await
        .expect("a receipt");
    assert!(finished.outputs["result"] == data);
    assert_eq!(s3.failures.load(Ordering::SeqCst), 0);

    let files = s3.files();
    let with = |start: &str, end: &str| {
        let fits = |file: &&String| file.starts_with(start) && file.ends_with(end);
        files.iter().filter(fits).count()
    };
    let digest = session.appraised().digest();
    assert_eq!(with("components/", ".wasm"), 1, "{files:?}");
    assert_eq!(
        with(&format!("receipts/{digest}/1.done"), ""),
        1,
        "{files:?}"
    );
    let input = format!("objects/{}/", objects.values().next().expect("an input"));
    assert_eq!(with(&input, ""), 3, "{files:?}");
    assert!(with("objects/", "manifest") >= 2, "{files:?}");
    for folder in ["objects", "components", "receipts", "uploads"] {
        let mut left = Vec::new();
        let folder = stack.host_folder().join(folder);
        list(&folder, &folder, &mut left);
        assert_eq!(left, [""; 0], "{}", folder.display());
    }

    // What is there is there for the next host, too, and parts of it are read as from a folder.
    let object = *objects.values().next().expect("an input");
    let stack = stack.restart(|_| ()).await;
    let manifest = stack.remote.manifest(&object).await.expect("the manifest");
    let length = manifest.layout(0).sealed_length();
    let file = mc2_wire::routes::file_path(&object, 0);
    let whole = stack
        .http()
        .send(&Request::get(file.clone(), 1 << 26))
        .await;
    let whole = whole.expect("the file").body;
    assert_eq!(whole.len() as u64, length);
    let part = stack
        .http()
        .send(&Request::part(file.clone(), 4096, 70_000))
        .await;
    assert!(part.expect("a part").body[..] == whole[4096..74_096]);
    let past = stack.http().send(&Request::part(file, length, 1)).await;
    assert_eq!(past.expect_err("nothing there").code(), Some("range"));
    let receipt = stack.remote.receipt(&finished.session, 1).await;
    let receipt = receipt
        .expect("the receipt")
        .open(&finished.session, &stack.me);
    assert_eq!(receipt.expect("it opens"), finished.envelope);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_out_of_reach_is_said_to_be_and_costs_nothing_that_was_acknowledged() {
    let s3 = S3::start().await;
    let stack = stack(&s3).await;
    let run = Run::of("hostile", &["echo", "kept"]);
    let session = stack.session(&run).await.expect("a session");
    let digest = *session.appraised().digest();
    let done = stack.submit(&session, &run, &BTreeMap::new()).await;
    let done = done.expect("a receipt");

    s3.fail(usize::MAX);
    let object = done.receipt.outputs[0].object;
    let mut call = Request::get(manifest_path(&object), 1 << 20);
    call.repeatable = false;
    let refused = stack.http().send(&call).await.expect_err("out of reach");
    assert_eq!(refused.code(), Some("storage-unavailable"), "{refused}");
    // A job that ends now keeps its receipt in the runtime.
    let job = draft(&session, &run, &BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    tokio::time::sleep(Duration::from_secs(2)).await;
    s3.fail(0);
    let finished = stack.finish(&session, &stack.me, &running).await;
    assert_eq!(finished.expect("a receipt").stdout(), "kept\n");
    let stored = format!("receipts/{digest}/{}.done", running.number);
    while !s3.files().contains(&stored) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let outputs = stack.open_outputs(&done.receipt, &digest, &stack.me).await;
    assert_eq!(outputs.expect("outputs")["stdout"], b"kept\n");
}
