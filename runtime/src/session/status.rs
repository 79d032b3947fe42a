//! What a session says of itself to those its policy names.

use mc2_protocol::documents::message::{JobApprovals, SessionJob, SessionStatus};

use super::State;

impl State {
    /// Who has said what, which keys are held, and which jobs there are.
    pub(super) fn status(&self) -> SessionStatus {
        let given = self.consents.given();
        let jobs_approved = given.of_jobs().map(|(job, by)| JobApprovals {
            job: *job,
            by: by.iter().copied().collect(),
        });
        let jobs = self.jobs.iter().map(|(number, running)| SessionJob {
            number: *number,
            digest: running.job,
            state: running.phase.told(),
        });
        let mut jobs: Vec<_> = jobs.collect();
        jobs.sort_by_key(|job| job.number);
        SessionStatus {
            approved: given.of_session().copied().collect(),
            jobs_approved: jobs_approved.collect(),
            keys: self.keys.held(),
            guest_keys: self.guest_keys.names(),
            jobs,
        }
    }
}
