//! Accepting connections and speaking HTTP/1.1 on them.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body};
use http::Request;
use hyper::{
    body::Body as _,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Sleep,
};
use tokio_rustls::TlsAcceptor;

use mc2_wire::Stream;

use super::{
    Peer,
    bulk::Socket,
    connections::{Activity, Connections, Followed, Phase, Place},
    listener::Listener,
};
use crate::waiting::raised;

/// A TLS handshake must have ended within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What a connection may still take to end when the host does.
const ENDING: Duration = Duration::from_secs(2);
/// Bytes hyper reads or gathers at once.
const BUFFER: usize = 256 * 1024;

/// How a listener's connections are served.
#[derive(Clone)]
pub(crate) struct Service {
    /// What they are answered with.
    pub(crate) router: Router,
    /// TLS, where it is spoken.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether connections may be turned over to bulk reads; not with TLS.
    pub(crate) bulk: bool,
    /// As [`Timeouts::head`](crate::Timeouts::head).
    pub(crate) head: Duration,
    /// As [`Timeouts::stall`](crate::Timeouts::stall).
    pub(crate) stall: Duration,
}

impl Service {
    /// Serves a listener's connections until the host ends.
    pub(crate) fn start(
        self,
        listener: Listener,
        connections: Arc<Connections>,
        ending: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        tokio::spawn(accept(listener, self, connections, ending))
    }
}

async fn accept(
    listener: Listener,
    service: Service,
    connections: Arc<Connections>,
    mut ending: watch::Receiver<bool>,
) {
    let mut served = JoinSet::new();
    loop {
        let accepted = async {
            let stream = listener.accept(service.bulk).await;
            (stream, connections.take().await)
        };
        let (stream, place) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = served.join_next(), if !served.is_empty() => continue,
            () = raised(&mut ending) => break,
        };
        match stream {
            Ok(stream) => {
                let (service, ending) = (service.clone(), ending.clone());
                served.spawn(serve(stream, service, place, ending));
            }
            Err(error) => {
                // Out of file descriptors, for instance: it will not be better at once.
                tracing::warn!(%error, "a connection was not accepted");
                connections.end_one();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let all = async { while served.join_next().await.is_some() {} };
    // What is left is ended with the set.
    let _ = tokio::time::timeout(ENDING, all).await;
}

async fn serve(
    (stream, socket, peer): (Box<dyn Stream>, Option<Socket>, Peer),
    service: Service,
    place: Place,
    mut ending: watch::Receiver<bool>,
) {
    let activity = Arc::clone(&place.activity);
    tokio::select! {
        () = speak(stream, (socket, peer), service, &place.activity, &mut ending) => {}
        () = activity.until_unwanted() => {
            tracing::debug!("a connection was ended to make place for another");
        }
    }
}

async fn speak(
    stream: Box<dyn Stream>,
    (socket, peer): (Option<Socket>, Peer),
    service: Service,
    activity: &Arc<Activity>,
    ending: &mut watch::Receiver<bool>,
) {
    let Service {
        router,
        tls,
        head,
        stall,
        ..
    } = service;
    let stream: Box<dyn Stream> = Box::new(Unstalled::new(stream, stall));
    let stream: Box<dyn Stream> = match tls {
        None => stream,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            _ => return,
        },
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(BUFFER);
    let router = TowerToHyperService::new(router);
    let followed = service_fn(|request: Request<hyper::body::Incoming>| {
        activity.enter(if request.body().is_end_stream() {
            Phase::Working
        } else {
            Phase::Receiving
        });
        let mut request =
            request.map(|body| Followed::body(Body::new(body), activity, Phase::Working));
        request.extensions_mut().insert(peer);
        if let Some(socket) = &socket {
            request.extensions_mut().insert(socket.clone());
        }
        let answer = router.call(request);
        async move {
            let answer: Result<_, Infallible> = answer.await;
            activity.enter(Phase::Sending);
            answer.map(|answer| answer.map(|body| Followed::body(body, activity, Phase::Idle)))
        }
    });
    let connection = http.serve_connection(TokioIo::new(stream), followed);
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = raised(ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A stream whose peer must take what it is sent: a write that makes no progress for `patience`
/// is an error.
struct Unstalled {
    stream: Box<dyn Stream>,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Unstalled {
    fn new(stream: Box<dyn Stream>, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            waiting: None,
        }
    }

    fn judge<T>(
        &mut self,
        progress: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.waiting = None;
            return progress;
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the peer took nothing for {patience:?}"),
        )))
    }
}

impl AsyncRead for Unstalled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Unstalled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(progress, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(progress, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(progress, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(progress, context)
    }
}
