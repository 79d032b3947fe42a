//! Routes: each path once as a template, for who answers, and once as a function, for who asks
//! (protocol.md §9).

use mc2_protocol::{Digest, documents::storage::UploadId};

/// The routes as templates, `{…}` for what varies.
pub mod template {
    /// How the host is.
    pub const HEALTH: &str = "/v1/health";
    /// A component's exact bytes.
    pub const COMPONENT: &str = "/v1/components/{digest}";
    /// An object's manifest.
    pub const MANIFEST: &str = "/v1/objects/{object}/manifest";
    /// A file of an object.
    pub const FILE: &str = "/v1/objects/{object}/files/{index}";
    /// A list of segment digests of an object.
    pub const DIGESTS: &str = "/v1/objects/{object}/digests/{index}";
    /// A file of an upload.
    pub const UPLOAD_FILE: &str = "/v1/uploads/{upload}/files/{index}";
    /// A list of segment digests of an upload.
    pub const UPLOAD_DIGESTS: &str = "/v1/uploads/{upload}/digests/{index}";
    /// The end of an upload.
    pub const UPLOAD_COMMIT: &str = "/v1/uploads/{upload}/commit";
    /// An upload.
    pub const UPLOAD: &str = "/v1/uploads/{upload}";
    /// A scratch page.
    pub const SPILL: &str = "/v1/spill/{area}/{slot}";
    /// All scratch pages of a run.
    pub const SPILL_AREA: &str = "/v1/spill/{area}";
    /// An entry of the compilation cache.
    pub const CACHE: &str = "/v1/cache/{key}";
    /// Evidence of a session.
    pub const EVIDENCE: &str = "/v1/sessions/{session}/evidence";
    /// Messages to a session.
    pub const MESSAGES: &str = "/v1/sessions/{session}/messages";
    /// A job.
    pub const JOB: &str = "/v1/sessions/{session}/jobs/{number}";
    /// Events of a job.
    pub const EVENTS: &str = "/v1/sessions/{session}/jobs/{number}/events";
    /// The receipt of a job.
    pub const RECEIPT: &str = "/v1/sessions/{session}/jobs/{number}/receipt";
}

/// Path the runtime dials to offer itself.
pub const CONTROL_PATH: &str = "/v1/control";
/// The protocol named in the upgrade.
pub const CONTROL_PROTOCOL: &str = "mc2-control/1";
/// Path of [`AskChallenge`](mc2_protocol::documents::control::AskChallenge).
pub const CHALLENGES_PATH: &str = "/v1/challenges";
/// Path of [`OpenSession`](mc2_protocol::documents::control::OpenSession).
pub const SESSIONS_PATH: &str = "/v1/sessions";
/// `/v1/sessions/{session}/messages`: takes a sealed message, answers with an answer.
pub fn messages_path(session: &Digest) -> String {
    format!("{SESSIONS_PATH}/{session}/messages")
}

/// `/v1/sessions/{session}/evidence`.
pub fn evidence_path(session: &Digest) -> String {
    format!("{SESSIONS_PATH}/{session}/evidence")
}

/// `/v1/sessions/{session}/jobs/{number}`: how far a job is, by the host.
pub fn job_path(session: &Digest, number: u64) -> String {
    format!("{SESSIONS_PATH}/{session}/jobs/{number}")
}

/// `/v1/components/{digest}`: `PUT` and `GET` the exact `.wasm` bytes.
pub fn component_path(digest: &Digest) -> String {
    format!("/v1/components/{digest}")
}

/// `/v1/objects/{id}/manifest`: `GET` the manifest's exact bytes.
pub fn manifest_path(object: &Digest) -> String {
    format!("/v1/objects/{object}/manifest")
}

/// `/v1/objects/{id}/files/{index}`: `GET`, with `Range`, the sealed bytes of a file.
pub fn file_path(object: &Digest, index: usize) -> String {
    format!("/v1/objects/{object}/files/{index}")
}

/// `/v1/objects/{id}/digests/{index}`: `GET`, with `Range`, a file's list of segment digests.
pub fn digests_path(object: &Digest, index: usize) -> String {
    format!("/v1/objects/{object}/digests/{index}")
}

/// `/v1/uploads/{upload}/files/{index}?offset=N`: `PUT` the next sealed bytes of a file.
pub fn upload_file_path(upload: &UploadId, index: usize, offset: u64) -> String {
    format!("/v1/uploads/{upload}/files/{index}?offset={offset}")
}

/// `/v1/uploads/{upload}/digests/{index}?offset=N`: `PUT` the next bytes of a file's digests.
pub fn upload_digests_path(upload: &UploadId, index: usize, offset: u64) -> String {
    format!("/v1/uploads/{upload}/digests/{index}?offset={offset}")
}

/// `/v1/uploads/{upload}/commit`: `POST` the manifest; the upload becomes the object it names, or
/// nothing.
pub fn upload_commit_path(upload: &UploadId) -> String {
    format!("/v1/uploads/{upload}/commit")
}

/// `/v1/uploads/{upload}`: `DELETE` drops an upload that was not committed.
pub fn upload_path(upload: &UploadId) -> String {
    format!("/v1/uploads/{upload}")
}

/// `/v1/spill/{area}/{slot}`: `PUT`, `GET` and `DELETE` one sealed scratch page.
pub fn spill_path(area: &UploadId, slot: u64) -> String {
    format!("/v1/spill/{area}/{slot}")
}

/// `/v1/spill/{area}`: `DELETE` drops all pages of a job.
pub fn spill_area_path(area: &UploadId) -> String {
    format!("/v1/spill/{area}")
}

/// `/v1/cache/{key}`: `PUT` and `GET` one sealed entry of the compilation cache.
pub fn cache_path(key: &Digest) -> String {
    format!("/v1/cache/{key}")
}

/// `/v1/sessions/{session}/jobs/{number}/events`: `POST` one sealed event.
pub fn events_path(session: &Digest, number: u64) -> String {
    format!("/v1/sessions/{session}/jobs/{number}/events")
}

/// `/v1/sessions/{session}/jobs/{number}/receipt`: `PUT` the sealed receipt; the job has ended.
pub fn receipt_path(session: &Digest, number: u64) -> String {
    format!("/v1/sessions/{session}/jobs/{number}/receipt")
}

#[cfg(test)]
mod tests {
    use mc2_protocol::encoding::Hex;

    use super::*;

    #[test]
    fn who_asks_and_who_answers_mean_the_same_path() {
        let digest = Digest::of(b"x");
        let upload: UploadId = Hex([7; 16]);
        let (number, index, slot) = (5, 6, 9);
        let fill = |template: &str| {
            template
                .replace("{digest}", &digest.to_string())
                .replace("{object}", &digest.to_string())
                .replace("{session}", &digest.to_string())
                .replace("{key}", &digest.to_string())
                .replace("{upload}", &upload.to_string())
                .replace("{area}", &upload.to_string())
                .replace("{number}", &number.to_string())
                .replace("{index}", &index.to_string())
                .replace("{slot}", &slot.to_string())
        };
        for (template, path) in [
            (template::COMPONENT, component_path(&digest)),
            (template::MANIFEST, manifest_path(&digest)),
            (template::FILE, file_path(&digest, index)),
            (template::DIGESTS, digests_path(&digest, index)),
            (template::UPLOAD_FILE, upload_file_path(&upload, index, 0)),
            (
                template::UPLOAD_DIGESTS,
                upload_digests_path(&upload, index, 0),
            ),
            (template::UPLOAD_COMMIT, upload_commit_path(&upload)),
            (template::UPLOAD, upload_path(&upload)),
            (template::SPILL, spill_path(&upload, slot)),
            (template::SPILL_AREA, spill_area_path(&upload)),
            (template::CACHE, cache_path(&digest)),
            (template::EVIDENCE, evidence_path(&digest)),
            (template::MESSAGES, messages_path(&digest)),
            (template::JOB, job_path(&digest, number)),
            (template::EVENTS, events_path(&digest, number)),
            (template::RECEIPT, receipt_path(&digest, number)),
        ] {
            assert_eq!(path.split('?').next(), Some(fill(template).as_str()));
        }
    }
}
