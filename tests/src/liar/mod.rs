//! A host that lies: a layer around what a runtime or a client sees of the real one.
//!
//! [`Liar::tell`] sets the rule: what to do with a request, if anything. Everything else is the
//! honest host's answer. [`Liar::remember`] keeps all that passes, as a curious host would.

use std::{
    convert::Infallible,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::{body::Body as _, service::Service as _, upgrade::Upgraded};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use mc2_host::Wrap;
use mc2_protocol::documents::control::Problem;
use mc2_wire::{
    bulk::{ASK_LEN, Ask, Part, reply},
    routes::{BULK_PATH, BULK_PROTOCOL, digests_path, file_path},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What somebody asked the host.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path without its query.
    pub path: String,
    /// The query.
    pub query: Option<String>,
    /// The first and last byte of the range that was asked for.
    pub range: Option<(u64, u64)>,
}

/// What was asked and what was answered, as the host saw it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request.
    pub asked: Asked,
    /// Its body.
    pub request: Bytes,
    /// The status of the answer.
    pub status: StatusCode,
    /// Its body.
    pub response: Bytes,
}

/// Changes a body.
pub type Change = Arc<dyn Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync>;

/// One way to lie.
#[derive(Clone)]
pub enum Lie {
    /// Flips the lowest bit of this byte of the answer; from the end where it is negative.
    Flip(i64),
    /// Leaves away the last bytes, and says so.
    Cut(usize),
    /// Adds zeros, and says so.
    Grow(usize),
    /// Announces the whole answer and breaks off half way.
    Break,
    /// Announces this many bytes, and then sends none.
    Announce(u64),
    /// Sends bytes for ever.
    Endless,
    /// Sends a byte every fifth of a second, for ever.
    Drip,
    /// Never answers.
    Silent,
    /// Answers with this status and nothing useful.
    Status(u16),
    /// Sends the asker elsewhere.
    Redirect(String),
    /// Says that the answer is compressed.
    Gzip,
    /// Answers with these bytes, as if all were well.
    Bytes(Bytes),
    /// Changes the answer.
    Change(Change),
    /// Changes the request before the honest host sees it.
    Request(Change),
    /// Answers another question than was asked: the one of this path.
    Instead(String),
    /// Says that it was done, and does nothing.
    Swallow,
    /// Makes the answer of the request's body, and does nothing else.
    Answer(Change),
    /// Is honest, but looks at what passes, and loses it where this says no: a request before the
    /// honest host sees it, and its answer before the asker does.
    Watch(Watch),
}

/// Whether a request of this body, or its answer, may go on its way.
pub type Watch = Arc<dyn Fn(&Asked, &[u8], Moment) -> bool + Send + Sync>;

/// When something passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// On its way to the honest host.
    Before,
    /// On its way back.
    After,
}

type Rule = Arc<dyn Fn(&Asked) -> Option<Lie> + Send + Sync>;

/// A host that lies.
#[derive(Clone, Default)]
pub struct Liar(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rule: Mutex<Option<Rule>>,
    told: Mutex<usize>,
    memory: Mutex<Option<Vec<Exchange>>>,
}

impl Asked {
    /// Whether this is a request of that method below that path.
    pub fn is(&self, method: &str, start: &str) -> bool {
        self.method == method && self.path.starts_with(start)
    }

    /// Whether it asks for a sealed file.
    pub fn is_file(&self) -> bool {
        self.method == Method::GET && self.path.contains("/files/")
    }

    /// Whether it asks for a list of segment digests.
    pub fn is_digests(&self) -> bool {
        self.method == Method::GET && self.path.contains("/digests/")
    }

    /// Whether it asks for a manifest.
    pub fn is_manifest(&self) -> bool {
        self.method == Method::GET && self.path.ends_with("/manifest")
    }

    fn of(request: &Request) -> Self {
        let range = request.headers().get(header::RANGE);
        let range = range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        let range = range.and_then(|range| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            range,
        }
    }
}

impl Liar {
    /// One that is honest for now.
    pub fn new() -> Self {
        Self::default()
    }

    /// The layer, for [`StackOptions`](crate::StackOptions).
    pub fn wrap(&self) -> Wrap {
        let liar = self.clone();
        Arc::new(move |honest| {
            let (liar, honest) = (liar.clone(), TowerToHyperService::new(honest));
            Router::new().fallback(move |request: Request| {
                let (liar, honest) = (liar.clone(), honest.clone());
                async move {
                    match request.uri().path() {
                        BULK_PATH => liar.turn_over(honest, request),
                        _ => liar.answer(honest, request).await,
                    }
                }
            })
        })
    }

    /// From now on lies where `rule` says so, and is honest elsewhere.
    pub fn tell(&self, rule: impl Fn(&Asked) -> Option<Lie> + Send + Sync + 'static) {
        *lock(&self.0.told) = 0;
        *lock(&self.0.rule) = Some(Arc::new(rule));
    }

    /// From now on lies thus to every request that `to` picks.
    pub fn lie(&self, lie: Lie, to: impl Fn(&Asked) -> bool + Send + Sync + 'static) {
        self.tell(move |asked| to(asked).then(|| lie.clone()));
    }

    /// From now on is honest.
    pub fn repent(&self) {
        *lock(&self.0.rule) = None;
    }

    /// How many lies were told since the last [`tell`](Self::tell).
    pub fn lies(&self) -> usize {
        *lock(&self.0.told)
    }

    /// From now on keeps all that passes.
    pub fn remember(&self) {
        *lock(&self.0.memory) = Some(Vec::new());
    }

    /// All that was kept so far.
    pub fn memory(&self) -> Vec<Exchange> {
        lock(&self.0.memory).clone().unwrap_or_default()
    }

    /// The kept exchanges that `pick` picks.
    pub fn recall(&self, pick: impl Fn(&Asked) -> bool) -> Vec<Exchange> {
        let mut memory = self.memory();
        memory.retain(|exchange| pick(&exchange.asked));
        memory
    }

    /// Answers bulk reads, each as if it had been asked over HTTP, so that one rule lies about both.
    fn turn_over(&self, honest: TowerToHyperService<Router>, mut request: Request) -> Response {
        let upgrade = hyper::upgrade::on(&mut request);
        let liar = self.clone();
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let mut stream = TokioIo::new(upgraded);
            // The runtime hung up, or the lie was to.
            let _ = liar.answer_bulk(&honest, &mut stream).await;
        });
        let mut response = respond(101, Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(BULK_PROTOCOL));
        response
    }

    async fn answer_bulk(
        &self,
        honest: &TowerToHyperService<Router>,
        stream: &mut TokioIo<Upgraded>,
    ) -> io::Result<()> {
        loop {
            let mut ask = [0; ASK_LEN];
            stream.read_exact(&mut ask).await?;
            let ask = Ask::parse(&ask).expect("a question");
            let (object, index) = (&ask.object, ask.index as usize);
            let path = match ask.part {
                Part::File => file_path(object, index),
                Part::Digests => digests_path(object, index),
            };
            let last = ask.offset + u64::from(ask.length) - 1;
            let request = Request::get(path)
                .header(header::RANGE, format!("bytes={}-{last}", ask.offset))
                .body(Body::empty())
                .expect("a request");
            let response = self.answer(honest.clone(), request).await;
            let mut status = u32::from(response.status().as_u16());
            if response.headers().contains_key(header::CONTENT_ENCODING) {
                // There is no word for it here.
                status = 200;
            }
            let announced = response.headers().get(header::CONTENT_LENGTH);
            let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
            let body = response.into_body();
            let announced = announced.or(body.size_hint().exact());
            let announced = announced.map_or(u32::MAX, |length| length.min(u32::MAX.into()) as u32);
            stream.write_all(&reply(status, announced)).await?;
            let mut body = body.into_data_stream();
            while let Some(piece) = body.next().await {
                stream.write_all(&piece.map_err(io::Error::other)?).await?;
            }
        }
    }

    async fn answer(&self, honest: TowerToHyperService<Router>, request: Request) -> Response {
        let asked = Asked::of(&request);
        let rule = lock(&self.0.rule).clone();
        let lie = rule.and_then(|rule| rule(&asked));
        if lie.is_some() {
            *lock(&self.0.told) += 1;
        }
        let remembers = lock(&self.0.memory).is_some();
        if lie.is_none() && !remembers {
            return ask(&honest, request).await;
        }
        let (mut head, body) = request.into_parts();
        let mut sent = gather(body).await;
        if let Some(lie) = &lie {
            match lie {
                Lie::Silent => std::future::pending().await,
                Lie::Status(status) => {
                    return mc2_wire::problem(&Problem::new(*status, "lie", "a lie"));
                }
                Lie::Redirect(to) => {
                    let mut response = respond(307, Body::empty());
                    let to = HeaderValue::try_from(to).expect("a good address");
                    response.headers_mut().insert(header::LOCATION, to);
                    return response;
                }
                Lie::Swallow => return respond(204, Body::empty()),
                Lie::Answer(make) => {
                    return respond(200, Body::from(make(&asked, sent.into())));
                }
                Lie::Request(change) => {
                    sent = change(&asked, sent.into()).into();
                    head.headers.remove(header::CONTENT_LENGTH);
                }
                Lie::Watch(watch) if !watch(&asked, &sent, Moment::Before) => {
                    return mc2_wire::problem(&Problem::new(502, "lie", "it did not arrive"));
                }
                Lie::Instead(path) => head.uri = path.parse::<Uri>().expect("a good path"),
                _ => {}
            }
        }
        let response = ask(&honest, Request::from_parts(head, Body::from(sent.clone()))).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response;
        }
        let (head, body) = response.into_parts();
        let received = gather(body).await;
        if remembers {
            let status = head.status;
            let (request, response) = (sent.clone(), received.clone());
            let exchange = Exchange {
                asked: asked.clone(),
                request,
                status,
                response,
            };
            if let Some(memory) = lock(&self.0.memory).as_mut() {
                memory.push(exchange);
            }
        }
        let mut response = Response::from_parts(head, Body::empty());
        match lie {
            Some(Lie::Watch(watch)) => {
                if !watch(&asked, &sent, Moment::After) {
                    return mc2_wire::problem(&Problem::new(502, "lie", "the answer was lost"));
                }
                *response.body_mut() = Body::from(received);
            }
            Some(lie) => lie.tell(&asked, received, &mut response),
            None => *response.body_mut() = Body::from(received),
        }
        response
    }
}

impl Lie {
    /// A lie that changes the answer.
    pub fn change(change: impl Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Change(Arc::new(change))
    }

    /// A lie to the honest host.
    pub fn request(change: impl Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Request(Arc::new(change))
    }

    /// A lie made of the request's body.
    pub fn answer(make: impl Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Answer(Arc::new(make))
    }

    fn tell(self, asked: &Asked, honest: Bytes, response: &mut Response) {
        let mut bytes = Vec::from(honest);
        let length = bytes.len();
        let half = Bytes::copy_from_slice(&bytes[..length / 2]);
        let mut announced = None;
        let body = match self {
            Self::Flip(at) if length > 0 => {
                let at = at.rem_euclid(length as i64) as usize;
                bytes[at] ^= 1;
                Body::from(bytes)
            }
            Self::Cut(cut) => {
                bytes.truncate(length.saturating_sub(cut));
                Body::from(bytes)
            }
            Self::Grow(more) => {
                bytes.resize(length + more, 0);
                Body::from(bytes)
            }
            Self::Break => {
                announced = Some(length as u64);
                let broken = Err(io::Error::other("the host breaks off"));
                Body::from_stream(stream::iter([Ok(half), broken]))
            }
            Self::Announce(length) => {
                announced = Some(length);
                Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
            }
            Self::Endless => {
                let zeros = Bytes::from_static(&[0; 64 * 1024]);
                Body::from_stream(stream::repeat_with(move || {
                    Ok::<_, Infallible>(zeros.clone())
                }))
            }
            Self::Drip => {
                announced = Some(length as u64);
                Body::from_stream(stream::unfold(Bytes::from(bytes), |mut rest| async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let drop = rest.split_to(1.min(rest.len()));
                    Some((Ok::<_, Infallible>(drop), rest))
                }))
            }
            Self::Gzip => {
                let gzip = HeaderValue::from_static("gzip");
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, gzip);
                Body::from(bytes)
            }
            Self::Bytes(other) => {
                if !response.status().is_success() {
                    *response.status_mut() = StatusCode::OK;
                }
                Body::from(other)
            }
            Self::Change(change) => Body::from(change(asked, bytes)),
            _ => Body::from(bytes),
        };
        response.headers_mut().remove(header::CONTENT_LENGTH);
        if let Some(announced) = announced {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, announced.into());
        }
        *response.body_mut() = body;
    }
}

impl fmt::Debug for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flip(at) => write!(f, "Flip({at})"),
            Self::Cut(cut) => write!(f, "Cut({cut})"),
            Self::Grow(more) => write!(f, "Grow({more})"),
            Self::Break => f.write_str("Break"),
            Self::Announce(length) => write!(f, "Announce({length})"),
            Self::Endless => f.write_str("Endless"),
            Self::Drip => f.write_str("Drip"),
            Self::Silent => f.write_str("Silent"),
            Self::Status(status) => write!(f, "Status({status})"),
            Self::Redirect(to) => write!(f, "Redirect({to})"),
            Self::Gzip => f.write_str("Gzip"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Change(_) => f.write_str("Change"),
            Self::Request(_) => f.write_str("Request"),
            Self::Instead(path) => write!(f, "Instead({path})"),
            Self::Swallow => f.write_str("Swallow"),
            Self::Answer(_) => f.write_str("Answer"),
            Self::Watch(_) => f.write_str("Watch"),
        }
    }
}

async fn ask(honest: &TowerToHyperService<Router>, request: Request) -> Response {
    let answer: Result<Response, Infallible> = honest.call(request).await;
    answer.unwrap_or_else(|never| match never {})
}

async fn gather(body: Body) -> Bytes {
    // A peer that breaks off has said what it has said.
    body.collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default()
}

fn respond(status: u16, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
