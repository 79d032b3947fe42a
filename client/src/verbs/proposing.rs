//! Jobs that wait for approvals of their own: sent to those who give them, and what came of others'.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Card, Digest, Identity, Name, PartyName,
    documents::{
        job::Job,
        proposal::{self, Proposal},
    },
    policy::{JobRule, When},
};

use super::{
    approving::{Approval, Consent},
    error::VerbError,
    member::{Entered, is_beginning, not_a_digest, one_of},
    releasing::Choice,
};
use crate::{
    files::{read_capped, write_private},
    policy::approval,
    session::Session,
    state::Submission,
};

/// What the name of a proposal's file ends with.
const EXTENSION: &str = "proposal";

/// A job that somebody proposes to this party, and that the policy allows them.
#[derive(Clone)]
pub struct Proposed {
    /// SHA-256 of its exact bytes.
    pub job: Digest,
    /// Those bytes.
    pub bytes: Vec<u8>,
    /// Which of the policy's jobs it is.
    pub name: Name,
    /// Who would submit it.
    pub proposer: PartyName,
}

impl Entered<'_> {
    /// Sends a kept submission, sealed, to each of the others who may approve it, by the host's
    /// mailbox and, where a folder is named, as a file `PARTY.proposal` in it; nothing where no job
    /// wants approvals of its own.
    ///
    /// # Errors
    /// The host does not take it, or a file cannot be written.
    pub async fn propose(
        &self,
        session: &Session<'_>,
        submission: &Submission,
        folder: Option<&Path>,
    ) -> Result<Vec<PartyName>, VerbError> {
        let bytes = submission.bytes.as_slice();
        let job = Job::parse(bytes)?;
        let rule = self.rule(&job.name)?;
        let mut sent = Vec::new();
        for (card, note) in proposals(session, rule, bytes, &self.identity) {
            if let Some(folder) = folder {
                let path = folder.join(format!("{}.{EXTENSION}", card.name()));
                write_private(&path, &note).map_err(VerbError::File)?;
            }
            session.post_note(card.digest(), note).await?;
            sent.push(card.name().clone());
        }
        Ok(sent)
    }

    /// The jobs that others propose to this party, by the host's mailbox and in these files. What
    /// does not open, was signed by nobody the policy names, or is nothing the policy allows them is
    /// the host's invention, or no business of this party's.
    ///
    /// # Errors
    /// The host does not answer well, or a file cannot be read.
    pub async fn proposals(&self, files: &[PathBuf]) -> Result<Vec<Proposed>, VerbError> {
        let session = &self.known.session;
        let me = self.identity.card().digest();
        let mut notes = self.remote.notes(session, me).await?;
        for path in files {
            notes.push(read_capped(path, proposal::MAX_LEN).map_err(VerbError::File)?);
        }
        let mut found: BTreeMap<Digest, Proposed> = BTreeMap::new();
        for note in notes {
            let party = |card: &Digest| self.policy.party(card).map(AsRef::as_ref);
            let Ok(proposal) = Proposal::open(&note, session, &self.identity, party) else {
                continue;
            };
            let Ok(job) = self.policy.allows(proposal.job(), proposal.proposer()) else {
                continue;
            };
            let proposer = self.policy.party(proposal.proposer());
            let digest = Digest::of(proposal.job());
            found.extend(proposer.map(|card| {
                let proposed = Proposed {
                    job: digest,
                    bytes: proposal.job().to_vec(),
                    name: job.name,
                    proposer: card.name().clone(),
                };
                (digest, proposed)
            }));
        }
        Ok(found.into_values().collect())
    }

    /// What an approval of one proposed job comes to, to be shown: the job by its digest, or the
    /// first digits of it. With it go the keys of this party's datasets and custody that it reads, for
    /// one run, where the session holds none.
    ///
    /// # Errors
    /// [`VerbError`], as [`plan_approval`](Self::plan_approval); or nobody proposes such a job.
    pub async fn plan_job_approval(
        &self,
        session: &Session<'_>,
        asked: &str,
        files: &[PathBuf],
        stated: Option<&Digest>,
    ) -> Result<Approval, VerbError> {
        self.check_cards(stated)?;
        if !is_beginning(asked) {
            return Err(not_a_digest(asked, "job"));
        }
        let mut proposed = self.proposals(files).await?;
        proposed.retain(|one| one.job.to_string().starts_with(asked));
        let proposed = one_of(asked, "job", proposed)?;
        let Proposed {
            job,
            bytes,
            name,
            proposer,
        } = proposed.ok_or_else(|| VerbError::NotProposed {
            asked: asked.to_owned(),
            session: self.known.session,
        })?;
        let own = self.identity.card();
        let rule = self.rule(&name)?.approve.as_ref();
        let asked = rule.filter(|rule| rule.when == When::Job);
        if !asked.is_some_and(|rule| rule.of.iter().any(|card| **card == *own)) {
            return Err(VerbError::NotAsked {
                job: name,
                party: own.name().clone(),
            });
        }
        let held = session.status(&self.identity).await?.keys;
        let parsed = Job::parse(&bytes)?;
        let read = parsed.datasets().filter(|(dataset, object)| {
            // What has a broker is that one's to release.
            let set = self.policy.dataset(dataset);
            let own = self.policy.keeper_of(dataset);
            set.is_none_or(|set| set.broker.is_none())
                && own.is_some_and(|owner| **owner == *self.identity.card())
                && !held.iter().any(|held| {
                    held.dataset == **dataset && held.object == **object && held.runs > 0
                })
        });
        let choice = Choice {
            versions: read.map(|(name, object)| (name.clone(), *object)).collect(),
            runs: Some(1),
        };
        let releases = self.plan_chosen(&choice).await?;
        let mut text = approval::job_text(&bytes)?;
        text.push_str(&format!(
            "proposed by  {proposer}\nof policy    {}\n",
            self.policy.name()
        ));
        text.push_str(&format!(
            "approve      this job and no other, as {}\n",
            own.name()
        ));
        text.push_str(&releases.to_text());
        Ok(Approval {
            text,
            digest: job,
            consent: Consent::Job,
            releases,
        })
    }
}

/// A job sealed to each of the others who may approve it by itself; to nobody where no approval of
/// single jobs is asked.
pub(crate) fn proposals<'p>(
    session: &Session<'_>,
    rule: &'p JobRule,
    job: &[u8],
    proposer: &Identity,
) -> Vec<(&'p Card, Vec<u8>)> {
    let digest = session.appraised().digest();
    let asked = rule.approve.iter().filter(|rule| rule.when == When::Job);
    let others = asked
        .flat_map(|rule| &rule.of)
        .filter(|card| ***card != *proposer.card());
    others
        .map(|card| {
            let note = Proposal::seal(digest, job, proposer, card, &mut crate::random());
            (&**card, note)
        })
        .collect()
}
