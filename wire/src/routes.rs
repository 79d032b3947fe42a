//! Routes, each once: a template in [`template`], for who answers, and the function of its path
//! and query, for who asks, are made of one text (protocol.md §9).

use mc2_protocol::{Digest, documents::storage::UploadId};

/// Which runtime process asks, as a header: 32 lower-case hexadecimal digits, random for each
/// process. An address and no credential.
pub const RUNTIME_ID: &str = "mc2-runtime-id";
/// The number of the job that a message began, as a header of a runtime's answer to it.
pub const JOB_NUMBER: &str = "mc2-job";
/// Path the runtime dials to offer itself.
pub const CONTROL_PATH: &str = "/v1/control";
/// The protocol named in the upgrade.
pub const CONTROL_PROTOCOL: &str = "mc2-control/1";
/// Path that is turned over to [bulk reads](crate::bulk).
pub const BULK_PATH: &str = "/v1/bulk";
/// The protocol named in that upgrade.
pub const BULK_PROTOCOL: &str = "mc2-bulk/1";
/// Path of [`AskChallenge`](mc2_protocol::documents::control::AskChallenge).
pub const CHALLENGES_PATH: &str = "/v1/challenges";
/// Path of [`OpenSession`](mc2_protocol::documents::control::OpenSession).
pub const SESSIONS_PATH: &str = "/v1/sessions";
/// What is there, and where to go on.
pub const ROOT_PATH: &str = "/";
/// The OpenAPI document of the routes for clients.
pub const OPENAPI_PATH: &str = "/v1/openapi.json";
/// How the host is.
pub const HEALTH_PATH: &str = "/v1/health";
/// Whether the host can do what it is for.
pub const READY_PATH: &str = "/v1/ready";
/// Which release the host is of.
pub const VERSION_PATH: &str = "/v1/version";
/// What the host counts, for Prometheus.
pub const METRICS_PATH: &str = "/metrics";

macro_rules! routes {
    ($($(#[$doc:meta])* $template:ident, $path:ident($($part:ident: $kind:ty),*) = $text:literal $(+ $query:literal)?;)*) => {
        /// The routes as templates, `{…}` for what varies.
        pub mod template {
            $($(#[$doc])* pub const $template: &str = $text;)*

            /// All of them.
            pub const ALL: &[&str] = &[$($template),*];
        }

        $($(#[$doc])* pub fn $path($($part: $kind),*) -> String {
            format!(concat!($text $(, $query)?), $($part = $part),*)
        })*
    };
}

routes! {
    /// `PUT` and `GET` a component's exact bytes.
    COMPONENT, component_path(digest: &Digest) = "/v1/components/{digest}";
    /// `GET` which streams an object has; a runtime may `PUT` a small one in one piece.
    OBJECT, object_path(object: &Digest) = "/v1/objects/{object}";
    /// `GET` a small object in one piece.
    SMALL_OBJECT, small_object_path(object: &Digest) = "/v1/objects/{object}/small";
    /// `GET` an object's manifest, its exact bytes.
    MANIFEST, manifest_path(object: &Digest) = "/v1/objects/{object}/manifest";
    /// `GET`, with `Range`, the sealed bytes of an object's file.
    FILE, file_path(object: &Digest, index: usize) = "/v1/objects/{object}/files/{index}";
    /// `GET`, with `Range`, the list of a file's segment digests.
    DIGESTS, digests_path(object: &Digest, index: usize) = "/v1/objects/{object}/digests/{index}";
    /// `PUT` the next sealed bytes of a file.
    UPLOAD_FILE, upload_file_path(upload: &UploadId, index: usize, offset: u64) = "/v1/uploads/{upload}/files/{index}" + "?offset={offset}";
    /// `PUT` the next bytes of a file's digests.
    UPLOAD_DIGESTS, upload_digests_path(upload: &UploadId, index: usize, offset: u64) = "/v1/uploads/{upload}/digests/{index}" + "?offset={offset}";
    /// `POST` the manifest; the upload becomes the object it names, or nothing.
    UPLOAD_COMMIT, upload_commit_path(upload: &UploadId) = "/v1/uploads/{upload}/commit";
    /// `GET` how far an upload is; `DELETE` drops one that was not committed.
    UPLOAD, upload_path(upload: &UploadId) = "/v1/uploads/{upload}";
    /// `PUT`, `GET` and `DELETE` one sealed scratch page.
    SPILL, spill_path(area: &UploadId, slot: u64) = "/v1/spill/{area}/{slot}";
    /// `DELETE` drops all scratch pages of a job.
    SPILL_AREA, spill_area_path(area: &UploadId) = "/v1/spill/{area}";
    /// `PUT` and `GET` one sealed entry of the compilation cache.
    CACHE, cache_path(key: &Digest) = "/v1/cache/{key}";
    /// `GET` what the host keeps of a session.
    SESSION, session_path(session: &Digest) = "/v1/sessions/{session}";
    /// `POST` a nonce; the answer is a session's evidence over it.
    EVIDENCE, evidence_path(session: &Digest) = "/v1/sessions/{session}/evidence";
    /// `POST` a sealed message to a session; the answer is its answer.
    MESSAGES, messages_path(session: &Digest) = "/v1/sessions/{session}/messages";
    /// `POST` a sealed submission for the host to hand over as soon as the session can start a job;
    /// `GET` the session's jobs.
    JOBS, jobs_path(session: &Digest) = "/v1/sessions/{session}/jobs";
    /// `GET` what came of a submission that was left with the host.
    TICKET, ticket_path(session: &Digest, ticket: &UploadId) = "/v1/sessions/{session}/tickets/{ticket}";
    /// `POST` a note to a party of a session, and `GET` those to one.
    NOTES, notes_path(session: &Digest) = "/v1/sessions/{session}/notes";
    /// `POST` a sealed message of the host's queue: one that submits a job is refused unopened, and so
    /// may be sent again, where there is no place for a job.
    QUEUED_MESSAGES, queued_messages_path(session: &Digest) = "/v1/sessions/{session}/messages" + "?queued=true";
    /// `GET` how far a job is, by the host.
    JOB, job_path(session: &Digest, number: u64) = "/v1/sessions/{session}/jobs/{number}";
    /// `POST` one sealed event of a job; `GET` them, and the job's state, as server-sent events.
    EVENTS, events_path(session: &Digest, number: u64) = "/v1/sessions/{session}/jobs/{number}/events";
    /// `POST` what a job's start waits for, and `GET` it.
    START, start_path(session: &Digest, number: u64) = "/v1/sessions/{session}/jobs/{number}/start";
    /// `PUT` the sealed receipt, which ends the job, and `GET` it.
    RECEIPT, receipt_path(session: &Digest, number: u64) = "/v1/sessions/{session}/jobs/{number}/receipt";
}
