//! Every setting, once: its key in a file, from which flag and variable are made, and what it is.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Its key in the configuration file: `max_runtimes`.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// What its value is, for the help: `N`.
    pub(super) value: &'static str,
    /// What it means, and what holds where it is not given.
    pub(super) help: &'static str,
}

impl Setting {
    /// Its flag without the dashes before it: `max-runtimes`.
    pub(super) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Its environment variable: `MC2_HOST_MAX_RUNTIMES`.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLES}{}", self.key.to_uppercase())
    }
}

/// What all variables of this program begin with.
pub(super) const VARIABLES: &str = "MC2_HOST_";

/// How often a setting may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Once.
    One,
    /// Again and again: a list in a file, with commas between them in a variable.
    Many,
    /// Once, and as a flag it needs no value.
    Switch,
}

macro_rules! settings {
    ($($key:ident $kind:ident $value:literal $help:literal;)*) => {
        /// Names of settings, for whoever reads one.
        pub(super) mod key {
            $(#[expect(non_upper_case_globals, reason = "named as it is written")]
            pub(in crate::settings) const $key: &str = stringify!($key);)*
        }

        /// All of them.
        pub(super) const SETTINGS: &[Setting] = &[$(Setting {
            key: stringify!($key),
            kind: Kind::$kind,
            value: $value,
            help: $help,
        }),*];
    };
}

settings! {
    folder One "DIR" "where all state is kept, made if it is missing and used by one host at a \
        time; `mc2/host` in the user's state folder unless stated";
    cache_folder One "DIR" "where components and compiled code are kept, which several hosts of one \
        user may share; `folder` unless stated";
    storage One "URL" "a bucket for objects, components and receipts: `s3://BUCKET/PREFIX`, \
        `az://CONTAINER/PREFIX` or `gs://BUCKET/PREFIX`; `folder` unless stated";
    storage_option Many "NAME=VALUE" "what it takes to use the bucket, as `object_store` names it \
        (`aws_endpoint=https://…`); the vendor's own variables count, too";
    keep_receipts One "TIME" "how long receipts and events are kept after the job's end; as long as \
        their sessions unless stated";
    keep_sessions One "TIME" "how long sessions are kept after their end; as long as they have a \
        receipt, and an hour, unless stated";
    keep_notes One "TIME" "how long notes between parties are kept; as long as their sessions unless \
        stated";
    keep_uploads One "TIME" "how long an upload waits for more of its bytes, or for its commit; `1d` \
        unless stated";
    keep_objects One "TIME" "how long objects are kept that nobody uses and no open session may \
        need; for ever unless stated";
    keep_components One "TIME" "how long components are kept that nobody uses and no open session's \
        policy names; for ever unless stated";
    collect_every One "TIME" "how often what is too old is removed; `1h` unless stated";
    max_object_bytes One "SIZE" "most bytes of objects, beyond which clients store none; as many as \
        there is room for unless stated";
    max_component_bytes One "SIZE" "most bytes of components; as many as there is room for unless \
        stated";
    max_sessions One "N" "most sessions that are kept, open or over; 250,000 unless stated";
    max_sessions_of_card One "N" "most sessions that are open at once which one card opened; as many \
        as runtimes take unless stated";
    listen Many "ADDRESS" "where clients connect: `IP:PORT` or `unix:PATH`; `127.0.0.1:8440` unless \
        stated";
    simulator Switch "BOOL" "NOT SECURE: start `mc2-runtime-sim`, whose evidence proves nothing; so \
        where neither `runtime` nor `runtime_listen` is stated";
    runtime One "FILE" "the runtime to start, one process a policy; the one beside this program \
        unless stated";
    runtime_listen Many "ADDRESS" "start none, wait here for runtimes: `unix:PATH`, `tcp:IP:PORT`, \
        `vsock:CID:PORT`";
    runtime_link One "LINK" "how runtimes that are started reach the host: `unix` (a socket each) or \
        `loopback` (a port each on 127.0.0.1); `unix` unless stated";
    engine_profile One "PROFILE" "handed to the runtimes that are started: `vm` or `sgx`; `vm` unless \
        stated";
    max_runtimes One "N" "most runtime processes, and so policies, at once; 16 unless stated";
    max_connections One "N" "most connections of clients at once; 1,024 unless stated";
    max_queued One "N" "most submissions that wait in the queue; 10,000 unless stated";
    body_memory One "SIZE" "memory for bodies on their way in, of clients and of runtimes each; \
        `256MiB` unless stated";
    cache_limit One "SIZE" "most bytes of compiled code that are kept; `8GiB` unless stated";
    durable One "BOOL" "whether what was answered as stored survives a power cut; `true` unless \
        stated";
    tls_cert One "FILE" "PEM file with the certificate chain for TCP addresses";
    tls_key One "FILE" "PEM file with the certificate's private key";
    token Many "TOKEN" "who may ask: `NAME=SHA256`, with `@RATE` and `:SIZE` where stated, the \
        SHA-256 of a token in hex, how many requests a second it has, and how much is kept that is \
        stored with it; everybody where there is none";
    address_rate One "RATE" "how many requests a second an address has without a token; as many as \
        it likes unless stated";
    start_timeout One "TIME" "how long a runtime has to dial in; `60s` unless stated";
    open_timeout One "TIME" "how long opening a session may take; `30min` unless stated";
    relay_timeout One "TIME" "how long any other request to a runtime may take; `120s` unless stated";
    head_timeout One "TIME" "how long a request's head may take, and an idle connection is kept; \
        `75s` unless stated";
    stall_timeout One "TIME" "how long a peer may take nothing of an answer; `60s` unless stated";
    body_pause One "TIME" "the longest pause in a body; `30s` unless stated";
    body_grace One "TIME" "what any body may take, whatever its size; `30s` unless stated";
    body_rate One "SIZE" "bytes a second that must come beyond that; `32KiB` unless stated";
    absence One "TIME" "how long a runtime that dialed in may be without a connection; `10s` unless \
        stated";
    idle One "TIME" "how long a runtime without a running job is kept when its place is needed; \
        `15min` unless stated";
}
