//! Local servers that play Intel's and AMD's services, with a forger's endorsements.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mc2_attestation::{
    Interval, Tee, UnixSeconds,
    evidence::IntelCollateral,
    test_util::forger::{Enclave, Intel, Snp, Td},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What a server answers.
#[derive(Clone, Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    after: Duration,
}

/// A server, and what it was asked for.
struct Server {
    url: ServiceUrl,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// A server that answers a path, asked for the so manieth time in all, as `answer` says.
    async fn start(answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let head = head(&mut stream).await;
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(path.clone());
                        seen.len()
                    };
                    let reply = answer(&path, number);
                    tokio::time::sleep(reply.after).await;
                    let mut text = format!("HTTP/1.1 {} X\r\n", reply.status);
                    for (name, value) in &reply.headers {
                        text.push_str(&format!("{name}: {value}\r\n"));
                    }
                    let length = reply.body.len();
                    text.push_str(&format!(
                        "content-length: {length}\r\nconnection: close\r\n\r\n"
                    ));
                    let _ = stream.write_all(text.as_bytes()).await;
                    let _ = stream.write_all(&reply.body).await;
                });
            }
        });
        let url = url.parse().unwrap();
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn ok(body: impl Into<Vec<u8>>) -> Reply {
    Reply {
        status: 200,
        body: body.into(),
        ..Reply::default()
    }
}

fn status(status: u16) -> Reply {
    Reply {
        status,
        ..Reply::default()
    }
}

fn intel() -> Intel {
    Intel::new(
        1,
        Interval::new(UnixSeconds(1_000_000), UnixSeconds(2_000_000)),
    )
}

fn tdx_quote() -> Evidence {
    intel().tdx_quote(&Td::new(5, [1; 48], [2; 64]))
}

fn sgx_quote() -> Evidence {
    intel().sgx_quote(&Enclave::new([1; 32], [2; 64]))
}

fn parts(tee: Tee) -> IntelCollateral {
    serde_json::from_slice(intel().collateral(tee).value.as_slice()).unwrap()
}

/// Every character that is neither a letter nor a digit as `%XX`.
fn percent(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    encoded.collect()
}

/// What Intel's service answers about the forger's platform; a PCCS spells lists as digits.
fn pcs(path: &str, digits: bool) -> Reply {
    let tee = if path.starts_with("/tdx/") {
        Tee::Tdx
    } else {
        Tee::Sgx
    };
    let parts = parts(tee);
    let route = path
        .split_once("/certification/v4/")
        .map_or(path, |(_, route)| route);
    let list = |list: &[u8]| match digits {
        true => hex::encode(list).into_bytes(),
        false => list.to_vec(),
    };
    let signed = |name: &str, text: &str, signature: &[u8]| {
        format!(
            "{{\"{name}\":{text},\"signature\":\"{}\"}}",
            hex::encode(signature)
        )
    };
    let (body, header) = match route.split(['?', '&']).next().unwrap_or_default() {
        "tcb" => (
            signed("tcbInfo", &parts.tcb_info, &parts.tcb_info_signature).into_bytes(),
            Some((
                "TCB-Info-Issuer-Chain",
                percent(&parts.tcb_info_issuer_chain),
            )),
        ),
        "qe/identity" => (
            signed(
                "enclaveIdentity",
                &parts.qe_identity,
                &parts.qe_identity_signature,
            )
            .into_bytes(),
            Some((
                "SGX-Enclave-Identity-Issuer-Chain",
                percent(&parts.qe_identity_issuer_chain),
            )),
        ),
        "pckcrl" => (
            list(&parts.pck_crl),
            Some((
                "SGX-PCK-CRL-Issuer-Chain",
                percent(&parts.pck_crl_issuer_chain),
            )),
        ),
        "rootcacrl" | "/root.der" => (list(&parts.root_ca_crl), None),
        _ => return status(404),
    };
    Reply {
        headers: header.into_iter().collect(),
        ..ok(body)
    }
}

/// What AMD's service answers about the forger's chip.
fn kds(chip: &Snp, path: &str) -> Reply {
    let endorsements = chip.sign(&[7; 64]).endorsements;
    let line = format!("/vcek/v1/{}/", chip.product.as_str());
    match path.strip_prefix(&line) {
        Some("crl") => ok(endorsements[1].value.0.clone()),
        Some(_) => ok(endorsements[0].value.0.clone()),
        None => status(404),
    }
}

fn sources(url: &ServiceUrl) -> Sources {
    Sources {
        intel: url.clone(),
        intel_root_list: None,
        amd: url.clone(),
        trust: Trust::System,
        proxy: None,
        patience: Patience {
            attempts: 3,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(5),
            timeout: Duration::from_secs(20),
        },
    }
}

async fn refused(sources: &Sources, evidence: &Evidence) -> FetchError {
    sources.fetch(evidence).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn intel_s_collateral_is_fetched_for_the_platform_of_a_quote() {
    for (quote, tee) in [(sgx_quote(), Tee::Sgx), (tdx_quote(), Tee::Tdx)] {
        let server = Server::start(|path, _| pcs(path, false)).await;
        let mut sources = sources(&server.url);
        sources.intel_root_list = Some(format!("{}/root.der", server.url).parse().unwrap());
        let (needs, found) = sources.fetch(&quote).await.unwrap();
        assert_eq!(found, [intel().collateral(tee)], "as the forger signed it");
        let Needs::Intel(platform) = needs else {
            panic!("a quote of Intel's");
        };
        let own = if tee == Tee::Tdx { "tdx" } else { "sgx" };
        let fmspc = hex::encode_upper(platform.fmspc);
        assert_eq!(
            server.asked(),
            [
                format!("/{own}/certification/v4/tcb?fmspc={fmspc}"),
                format!("/{own}/certification/v4/qe/identity"),
                "/sgx/certification/v4/pckcrl?ca=platform&encoding=der".to_owned(),
                "/root.der".to_owned(),
            ]
        );
    }
}

#[tokio::test]
async fn a_pccs_gives_the_same_behind_one_address() {
    let server = Server::start(|path, _| pcs(path, true)).await;
    let url = format!("{}/sgx/certification/v4/", server.url);
    let (_, found) = sources(&url.parse().unwrap())
        .fetch(&tdx_quote())
        .await
        .unwrap();
    assert_eq!(found, [intel().collateral(Tee::Tdx)]);
    assert_eq!(server.asked()[3], "/sgx/certification/v4/rootcacrl");
}

#[tokio::test]
async fn amd_s_certificate_is_fetched_for_the_chip_and_the_versions_of_a_report() {
    for (chip, id_len, versions) in [
        (
            Snp::milan(),
            128,
            "blSPL=04&teeSPL=00&snpSPL=29&ucodeSPL=222",
        ),
        (
            Snp::genoa(),
            128,
            "blSPL=10&teeSPL=00&snpSPL=27&ucodeSPL=86",
        ),
        (
            Snp::turin(),
            16,
            "fmcSPL=01&blSPL=02&teeSPL=00&snpSPL=04&ucodeSPL=81",
        ),
    ] {
        let forged = chip.sign(&[7; 64]);
        let line = chip.product.as_str();
        let server = Server::start(move |path, _| kds(&chip, path)).await;
        let (_, found) = sources(&server.url).fetch(&forged.evidence).await.unwrap();
        assert_eq!(found, forged.endorsements);
        assert_eq!(
            server.asked(),
            [
                format!("/vcek/v1/{line}/{}?{versions}", "c1".repeat(id_len / 2)),
                format!("/vcek/v1/{line}/crl"),
            ]
        );
    }
}

/// A report of version 2 does not tell the processor.
#[tokio::test]
async fn where_a_report_does_not_tell_its_line_each_is_asked_for() {
    let chip = Snp {
        version: 2,
        ..Snp::genoa()
    };
    let forged = chip.sign(&[7; 64]);
    let server = Server::start(move |path, _| kds(&chip, path)).await;
    let (_, found) = sources(&server.url).fetch(&forged.evidence).await.unwrap();
    assert_eq!(found, forged.endorsements);
    let lines: Vec<_> = server
        .asked()
        .iter()
        .map(|path| path[9..14].to_owned())
        .collect();
    assert_eq!(lines, ["Milan", "Genoa", "Genoa"]);
}

#[tokio::test]
async fn what_nobody_gives_out_is_not_asked_for() {
    let server = Server::start(|_, _| status(500)).await;
    let loaded = Snp::genoa().with_vlek("operator").sign(&[7; 64]);
    let error = refused(&sources(&server.url), &loaded.evidence).await;
    assert!(matches!(error, FetchError::Loaded), "{error}");
    let mut masked = Snp::genoa();
    masked.chip_id = [0; 64];
    let error = refused(&sources(&server.url), &masked.sign(&[7; 64]).evidence).await;
    assert!(matches!(error, FetchError::Masked), "{error}");
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn a_service_that_is_busy_or_broken_is_asked_again_and_not_for_ever() {
    for trouble in [429, 500, 503] {
        let chip = Snp::genoa();
        let forged = chip.sign(&[7; 64]);
        let server = Server::start(move |path, number| match number {
            1 | 2 => Reply {
                headers: vec![("retry-after", "1000".to_owned())],
                ..status(trouble)
            },
            _ => kds(&chip, path),
        })
        .await;
        // What it says is granted as long as it is no longer than patience lasts.
        let (_, found) = sources(&server.url).fetch(&forged.evidence).await.unwrap();
        assert_eq!(found, forged.endorsements);
        assert_eq!(server.asked().len(), 4, "{trouble}");

        let server = Server::start(move |_, _| status(trouble)).await;
        let error = refused(&sources(&server.url), &forged.evidence).await;
        assert!(
            matches!(error, FetchError::Service(ServiceError::Status { .. })),
            "{error}"
        );
        assert_eq!(server.asked().len(), 3, "{trouble}");
    }
    // What is not there is not there the next time either.
    let server = Server::start(|_, _| status(404)).await;
    let error = refused(&sources(&server.url), &Snp::turin().sign(&[7; 64]).evidence).await;
    assert!(error.to_string().contains("knows nothing"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_service_that_answers_too_slowly_or_not_at_all_is_given_up() {
    let slow = Server::start(|_, _| Reply {
        after: Duration::from_secs(3600),
        ..ok("")
    })
    .await;
    let mut sources = sources(&slow.url);
    sources.patience.timeout = Duration::from_millis(50);
    let error = refused(&sources, &tdx_quote()).await;
    assert!(
        matches!(error, FetchError::Service(ServiceError::Timeout { .. })),
        "{error}"
    );
    assert_eq!(slow.asked().len(), 3);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    sources.intel = url.parse().unwrap();
    let error = refused(&sources, &tdx_quote()).await;
    let ServiceError::Unreachable { .. } = (match &error {
        FetchError::Service(error) => error,
        other => panic!("{other}"),
    }) else {
        panic!("{error}");
    };
}

#[tokio::test]
async fn whatever_else_a_service_answers_is_refused_by_name() {
    type Spoil = fn(&str, Reply) -> Reply;
    let cases: [(Spoil, &str); 7] = [
        (|_, _| ok("<html>hello</html>"), "tcb?fmspc"),
        (
            |path, good| {
                if path.contains("tcb") {
                    Reply {
                        headers: Vec::new(),
                        ..good
                    }
                } else {
                    good
                }
            },
            "lacks the header",
        ),
        (
            |path, good| match path.contains("identity") {
                true => Reply {
                    headers: vec![("SGX-Enclave-Identity-Issuer-Chain", "%zz".to_owned())],
                    ..good
                },
                false => good,
            },
            "no certificates are in",
        ),
        (
            |path, good| {
                if path.contains("pckcrl") {
                    Reply {
                        body: b"garbage".to_vec(),
                        ..good
                    }
                } else {
                    good
                }
            },
            "pckcrl",
        ),
        (
            |path, good| {
                if path.contains("rootcacrl") {
                    ok("")
                } else {
                    good
                }
            },
            "rootcacrl",
        ),
        (
            |path, good| {
                if path.contains("tcb") {
                    Reply {
                        body: vec![b' '; MAX_ANSWER + 1],
                        ..good
                    }
                } else {
                    good
                }
            },
            "cannot be taken",
        ),
        (
            |_, _| Reply {
                headers: vec![("location", "http://localhost/".to_owned())],
                ..status(302)
            },
            "302",
        ),
    ];
    for (spoil, words) in cases {
        let server = Server::start(move |path, _| spoil(path, pcs(path, true))).await;
        let error = refused(&sources(&server.url), &tdx_quote()).await;
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn what_is_about_another_platform_is_not_kept() {
    // Collateral of SGX for a quote of TDX.
    let server = Server::start(|path, _| pcs(&path.replace("/tdx/", "/sgx/"), true)).await;
    let error = refused(&sources(&server.url), &tdx_quote()).await;
    assert!(matches!(error, FetchError::Other { .. }), "{error}");
    let mut other = Snp::genoa();
    other.certified_chip_id[0] ^= 1;
    let server = Server::start(move |path, _| kds(&other, path)).await;
    let error = refused(&sources(&server.url), &Snp::genoa().sign(&[7; 64]).evidence).await;
    assert!(matches!(error, FetchError::Other { .. }), "{error}");
}

/// A proxy that passes connections on to `to` while its user is known.
async fn proxy(to: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:secret@{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = head(&mut stream).await;
            seen.lock()
                .unwrap()
                .push(head.lines().next().unwrap().to_owned());
            if !head.contains("\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n") {
                let _ = stream.write_all(b"HTTP/1.1 407 Who are you\r\n\r\n").await;
                continue;
            }
            let mut there = TcpStream::connect(&to).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 Go on\r\nx: y\r\n\r\n")
                .await
                .unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_proxy_is_gone_through() {
    let chip = Snp::genoa();
    let forged = chip.sign(&[7; 64]);
    let server = Server::start(move |path, _| kds(&chip, path)).await;
    let (through, asked) = proxy(server.url.to_string().replace("http://", "")).await;
    // The name is the proxy's to find.
    let mut sources = sources(&"http://kds.invalid".parse().unwrap());
    sources.proxy = Some(through.parse().unwrap());
    let (_, found) = sources.fetch(&forged.evidence).await.unwrap();
    assert_eq!(found, forged.endorsements);
    assert_eq!(asked.lock().unwrap()[0], "CONNECT kds.invalid:80 HTTP/1.1");
    sources.proxy = Some(through.replace("me:secret@", "").parse().unwrap());
    let error = refused(&sources, &forged.evidence).await;
    assert!(
        crate::terminal::chain(&error).contains("asks for a user"),
        "{error}"
    );
}
