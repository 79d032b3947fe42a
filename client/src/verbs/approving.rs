//! Consenting: what is approved is shown whole, and the bytes signed are the bytes shown.

use mc2_protocol::{Digest, policy::When};

use super::{
    error::VerbError,
    member::Entered,
    releasing::{Choice, Releases},
};
use crate::{policy::approval, session::Session};

/// What is about to be approved, and released with it.
pub struct Approval {
    /// All of it, escaped.
    pub text: String,
    /// The digest of the exact bytes that `text` shows: what is signed.
    pub digest: Digest,
    /// What is consented to.
    pub consent: Consent,
    /// The keys.
    pub releases: Releases,
}

/// What is consented to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nothing: keys alone are released, or the policy asks this party for no approval.
    Nothing,
    /// Every job that the policy allows, in this session.
    Policy,
    /// One job, by the digest of the bytes that are shown.
    Job,
}

impl Entered<'_> {
    /// What an approval of the session's policy comes to, or a release without one, to be shown.
    ///
    /// # Errors
    /// A card that is not known, unless `stated` is the policy's digest; or what is to be released
    /// cannot be.
    pub async fn plan_approval(
        &self,
        choice: &Choice,
        approve: bool,
        stated: Option<&Digest>,
    ) -> Result<Approval, VerbError> {
        self.check_cards(stated)?;
        let releases = self.plan_releases(choice).await?;
        let asked = approve && self.asks(When::Session);
        let mut text = approval::policy_text(&self.policy);
        let name = self.identity.card().name();
        text.push_str(&match (approve, asked) {
            (true, true) => format!("approve      all of the above, as {name}\n"),
            (true, false) => {
                format!(
                    "approve      nothing: the policy asks {name} for no approval of a session\n"
                )
            }
            (false, _) => "approve      nothing: this releases keys alone\n".to_owned(),
        });
        text.push_str(&releases.to_text());
        Ok(Approval {
            text,
            digest: *self.policy.digest(),
            consent: if asked {
                Consent::Policy
            } else {
                Consent::Nothing
            },
            releases,
        })
    }

    /// Approves what was shown, and releases the keys.
    ///
    /// # Errors
    /// [`VerbError`]. What stands in the ledger stays there.
    pub async fn approve(
        &self,
        session: &Session<'_>,
        approval: Approval,
    ) -> Result<(), VerbError> {
        // The ledger first: a key that does not go for want of runs leaves no approval behind.
        self.release(session, approval.releases).await?;
        let party = &self.identity;
        match approval.consent {
            Consent::Nothing => {}
            Consent::Policy => session.approve_policy(party).await?,
            Consent::Job => session.approve_job(party, &approval.digest).await?,
        }
        Ok(())
    }

    /// Whether any job wants this party's approval, of a session or of a job.
    pub(super) fn asks(&self, when: When) -> bool {
        let mut rules = self
            .policy
            .jobs()
            .iter()
            .filter_map(|job| job.approve.as_ref());
        let own = self.identity.card();
        rules.any(|rule| rule.when == when && rule.of.iter().any(|card| **card == *own))
    }
}
