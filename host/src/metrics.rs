//! What the host counts of itself, for Prometheus: how many and how long, never who or what. No
//! digest, name or address is a label.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The media type of [`Metrics::text`].
pub(crate) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// Upper ends of the buckets of times, in seconds: a job's status waits for up to 30.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0, 120.0, 600.0];

/// The metrics of a host.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    /// Requests refused for want of a good token.
    pub(crate) unauthorized: Counter,
    /// Requests refused because there were too many.
    pub(crate) limited: Counter,
    removed: Family<Kind, Counter>,
    now: Gauges,
}

impl Metrics {
    /// All at nought.
    pub(crate) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("mc2_host");
        let requests = Family::default();
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        let (unauthorized, limited) = (Counter::default(), Counter::default());
        registry.register(
            "requests",
            "Answers to clients and runtimes",
            requests.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register(
            "unauthorized",
            "Requests refused for want of a good token",
            unauthorized.clone(),
        );
        registry.register(
            "limited",
            "Requests refused by a rate limit",
            limited.clone(),
        );
        let removed = Family::default();
        registry.register(
            "removed",
            "What was removed because it was old enough and not needed",
            removed.clone(),
        );
        let now = Gauges::register(&mut registry);
        Arc::new(Self {
            registry,
            requests,
            seconds,
            unauthorized,
            limited,
            removed,
            now,
        })
    }

    /// Counts what was removed of a kind.
    pub(crate) fn removed(&self, kind: &'static str, number: usize) {
        let counter = self.removed.get_or_create(&Kind { kind });
        counter.inc_by(number as u64);
    }

    /// All of them as Prometheus reads them, with how things are now.
    pub(crate) fn text(&self, now: &Now) -> String {
        self.now.set(now);
        let mut text = String::new();
        // Writing to a string does not fail.
        encode(&mut text, &self.registry).unwrap_or_else(|error| unreachable!("{error}"));
        text
    }
}

/// How things are at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    pub(crate) runtimes: usize,
    pub(crate) sessions: usize,
    pub(crate) connections: usize,
    pub(crate) uploads: usize,
    pub(crate) streams: usize,
    /// Messages in the queue.
    pub(crate) queued: usize,
    /// Bytes of all objects.
    pub(crate) object_bytes: u64,
    /// Bytes of all components.
    pub(crate) component_bytes: u64,
}

#[derive(Default)]
struct Gauges {
    runtimes: Whole,
    sessions: Whole,
    connections: Whole,
    uploads: Whole,
    streams: Whole,
    queued: Whole,
    object_bytes: Whole,
    component_bytes: Whole,
}

type Whole = Gauge<u64, AtomicU64>;

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let mut add = |name, help, gauge: &Whole| registry.register(name, help, gauge.clone());
        add("runtimes", "Runtime processes", &gauges.runtimes);
        add("sessions", "Open sessions", &gauges.sessions);
        add("connections", "Connections of clients", &gauges.connections);
        add("uploads", "Uploads that are not committed", &gauges.uploads);
        add(
            "event_streams",
            "Streams of a job's events",
            &gauges.streams,
        );
        add("queued", "Messages in the queue", &gauges.queued);
        for (name, help, gauge) in [
            ("objects", "Bytes of stored objects", &gauges.object_bytes),
            (
                "components",
                "Bytes of stored components",
                &gauges.component_bytes,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        gauges
    }

    fn set(&self, now: &Now) {
        for (gauge, value) in [
            (&self.runtimes, now.runtimes as u64),
            (&self.sessions, now.sessions as u64),
            (&self.connections, now.connections as u64),
            (&self.uploads, now.uploads as u64),
            (&self.streams, now.streams as u64),
            (&self.queued, now.queued as u64),
            (&self.object_bytes, now.object_bytes),
            (&self.component_bytes, now.component_bytes),
        ] {
            gauge.set(value);
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// A route as metrics name it: its template, so that there are as many names as routes.
#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) template: &'static str,
    pub(crate) method: &'static str,
}

/// Counts a request and its answer.
pub(crate) async fn measure(State(named): State<Named>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let answer = next.run(request).await;
    let (method, route) = (named.method, named.template);
    let answered = Answered {
        method,
        route,
        status: answer.status().as_u16().into(),
    };
    named.metrics.requests.get_or_create(&answered).inc();
    named
        .metrics
        .seconds
        .get_or_create(&Route { method, route })
        .observe(begun.elapsed().as_secs_f64());
    answer
}
