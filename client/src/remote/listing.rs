//! What a host keeps of sessions for their parties: which there are, and notes from one to another.

use mc2_protocol::{
    Digest,
    documents::hosting::{
        JobEntry, JobList, NoteList, NotePosted, PostNote, SessionEntry, SessionKept, SessionList,
    },
    encoding::{Base64, parse_json, to_json},
};
use mc2_wire::routes;

use super::{Remote, RemoteError, TRANSFER_TIMEOUT};
use crate::http::Request;

/// Most bytes of one page of a list, and of what is kept of a session.
const MAX_PAGE: usize = 16 * 1024 * 1024;
/// Most bytes of all pages of a list of sessions or jobs: a million of them.
const MAX_LIST: usize = 128 * 1024 * 1024;
/// Most bytes of all pages of notes: as many as a host keeps for a card, in base64.
const MAX_NOTES: usize = 96 * 1024 * 1024;

/// How much of a list is still listened to. An answer of nothing counts too, so that a host ends
/// that has ever more.
struct Budget {
    what: &'static str,
    most: usize,
    left: usize,
}

impl Budget {
    /// What an answer costs at least.
    const LEAST: usize = 4096;

    const fn new(what: &'static str, most: usize) -> Self {
        Self {
            what,
            most,
            left: most,
        }
    }

    /// A request of the next page.
    fn page(&self, path: String) -> Request {
        Request::get(path, MAX_PAGE.min(self.left)).within(TRANSFER_TIMEOUT)
    }

    fn spend(&mut self, page: usize) -> Result<(), RemoteError> {
        let (what, most) = (self.what, self.most);
        let left = self.left.checked_sub(page.max(Self::LEAST));
        self.left = left.ok_or(RemoteError::TooMuch { what, most })?;
        Ok(())
    }
}

impl Remote {
    /// The sessions whose policy names this card, as the host has them.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn sessions(&self, party: &Digest) -> Result<Vec<SessionEntry>, RemoteError> {
        let mut sessions = Vec::new();
        let mut after = 0;
        let mut budget = Budget::new("sessions", MAX_LIST);
        loop {
            let path = routes::SESSIONS_PATH;
            let path = format!("{path}?party={party}&after={after}");
            let answer = self.client.send(&budget.page(path)).await?;
            budget.spend(answer.body.len())?;
            let page: SessionList = parse_json("the list of sessions", &answer.body, MAX_PAGE)?;
            sessions.extend(page.sessions);
            match page.next {
                Some(next) if next > after => after = next,
                _ => break,
            }
        }
        Ok(sessions)
    }

    /// The record and policy that the host keeps of a session.
    ///
    /// # Errors
    /// [`RemoteError`]; also where the record is another session's.
    pub async fn session(&self, session: &Digest) -> Result<SessionKept, RemoteError> {
        let path = routes::session_path(session);
        let call = Request::get(path, MAX_PAGE).within(TRANSFER_TIMEOUT);
        let answer = self.client.send(&call).await?;
        let kept: SessionKept = parse_json("the session", &answer.body, MAX_PAGE)?;
        let found = Digest::of(kept.record.as_slice());
        if found != *session {
            let expected = *session;
            return Err(RemoteError::OtherSession { expected, found });
        }
        Ok(kept)
    }

    /// The jobs of a session, as the host has them.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn jobs(&self, session: &Digest) -> Result<Vec<JobEntry>, RemoteError> {
        self.jobs_after(session, 0).await
    }

    /// Those of a session's jobs whose numbers are greater than `after`.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn jobs_after(
        &self,
        session: &Digest,
        mut after: u64,
    ) -> Result<Vec<JobEntry>, RemoteError> {
        let mut jobs = Vec::new();
        let mut budget = Budget::new("jobs", MAX_LIST);
        loop {
            let path = format!("{}?after={after}", routes::jobs_path(session));
            let answer = self.client.send(&budget.page(path)).await?;
            budget.spend(answer.body.len())?;
            let page: JobList = parse_json("the list of jobs", &answer.body, MAX_PAGE)?;
            jobs.extend(page.jobs);
            match page.next {
                Some(next) if next > after => after = next,
                _ => break,
            }
        }
        Ok(jobs)
    }

    /// Leaves a note for a party of a session.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn post_note(
        &self,
        session: &Digest,
        to: &Digest,
        note: Vec<u8>,
    ) -> Result<(), RemoteError> {
        let body = to_json(&PostNote {
            to: *to,
            body: Base64(note),
        });
        let call = Request::post(routes::notes_path(session), body, 4096);
        let answer = self.client.send(&call.within(TRANSFER_TIMEOUT)).await?;
        let _: NotePosted = parse_json("the note's number", &answer.body, 4096)?;
        Ok(())
    }

    /// The notes for a party of a session. Anybody may have left them.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn notes(&self, session: &Digest, to: &Digest) -> Result<Vec<Vec<u8>>, RemoteError> {
        let mut notes = Vec::new();
        let mut after = 0;
        let mut budget = Budget::new("notes", MAX_NOTES);
        loop {
            let path = routes::notes_path(session);
            let path = format!("{path}?to={to}&after={after}&wait=0");
            let answer = self.client.send(&budget.page(path)).await?;
            budget.spend(answer.body.len())?;
            let page: NoteList = parse_json("the notes", &answer.body, MAX_PAGE)?;
            let some = !page.notes.is_empty();
            notes.extend(page.notes.into_iter().map(|note| note.body.0));
            if !some || page.next <= after {
                break;
            }
            after = page.next;
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_by_its_bytes_and_by_its_pages() {
        let mut budget = Budget::new("notes", 3 * Budget::LEAST);
        assert_eq!(budget.page(String::new()).limit, 3 * Budget::LEAST);
        budget.spend(2 * Budget::LEAST).unwrap();
        budget.spend(0).unwrap();
        let error = budget.spend(0).unwrap_err();
        assert!(matches!(error, RemoteError::TooMuch { what: "notes", .. }));
    }
}
