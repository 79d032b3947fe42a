//! A host that lies: a layer around what a runtime or a client sees of the real one.
//!
//! [`Liar::tell`] sets the rule: what to do with a request, if anything. Everything else is the
//! honest host's answer. [`Liar::remember`] keeps all that passes, as a curious host would.

mod asked;
mod control;
mod lie;
mod random;

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, Uri, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::{
    body::Body as _,
    service::Service as _,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use mc2_host::Wrap;
use mc2_protocol::documents::control::Problem;
use mc2_wire::{
    bulk::{ASK_LEN, Ask, Part, reply},
    routes::{BULK_PATH, BULK_PROTOCOL, CONTROL_PATH, digests_path, file_path},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

pub use asked::{Asked, Exchange};
pub use lie::{Change, Lie, Moment, Watch};

/// How long one that is to be overtaken waits for another.
const OVERTAKEN: Duration = Duration::from_millis(500);

type Rule = Arc<dyn Fn(&Asked) -> Option<Lie> + Send + Sync>;

/// A host that lies.
#[derive(Clone, Default)]
pub struct Liar(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rule: Mutex<Option<Rule>>,
    told: Mutex<usize>,
    memory: Mutex<Option<Vec<Exchange>>>,
    /// Whether what the host asks runtimes is lied about as well.
    both_ways: AtomicBool,
    /// Told whenever the honest host has answered.
    answered: Notify,
}

impl Liar {
    /// One that is honest for now.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, between a host and its runtimes, about what the host asks them, too: rules and memory
    /// have to do with both.
    #[must_use]
    pub fn both_ways(self) -> Self {
        self.0.both_ways.store(true, Ordering::Relaxed);
        self
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
                        CONTROL_PATH if liar.0.both_ways.load(Ordering::Relaxed) => {
                            liar.turn_round(honest, request).await
                        }
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
                Lie::Drop => {
                    let mut response = respond(200, Body::empty());
                    Lie::Hangup.tell(&asked, Bytes::new(), &mut response);
                    return response;
                }
                Lie::Late(time) => tokio::time::sleep(*time).await,
                Lie::Overtaken => {
                    let later = self.0.answered.notified();
                    let _ = tokio::time::timeout(OVERTAKEN, later).await;
                }
                Lie::Twice => drop(ask(&honest, again(&head, &sent)).await),
                Lie::Replay(earlier) => {
                    let Exchange { asked, request, .. } = &**earlier;
                    let mut head = head.clone();
                    head.uri = asked.uri();
                    drop(ask(&honest, again(&head, request)).await);
                }
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
        self.0.answered.notify_waiters();
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
            Some(Lie::Withhold) => std::future::pending().await,
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

/// The request once more. What it carries beside its body stays what it is.
fn again(head: &Parts, body: &Bytes) -> Request {
    let mut head = head.clone();
    head.headers.remove(header::CONTENT_LENGTH);
    // An upgrade belongs to the connection it came on.
    head.extensions.remove::<OnUpgrade>();
    Request::from_parts(head, Body::from(body.clone()))
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
