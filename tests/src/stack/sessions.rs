//! Components, and sessions over them.

use std::{fs, time::SystemTime};

use mc2_attestation::TrustStore;
use mc2_client::{
    http::HttpError,
    remote::Remote,
    session::{Opened, Session, Verifier},
};
use mc2_protocol::{Digest, Identity, policy::Policy};

use super::Stack;
use crate::{Run, RunFailed, component, parse};

impl Stack {
    /// Stores a component's bytes.
    ///
    /// # Errors
    /// The host refuses.
    pub async fn store_component(&self, wasm: Vec<u8>) -> Result<Digest, RunFailed> {
        let digest = Digest::of(&wasm);
        if !self.remote.has_component(&digest).await.map_err(remote)? {
            self.remote
                .put_component(&digest, wasm.into())
                .await
                .map_err(remote)?;
        }
        Ok(digest)
    }

    /// Stores the component, opens a session for the run's policy and appraises it.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn session(&self, run: &Run) -> Result<Session<'_>, RunFailed> {
        self.session_under(run, run.policy(&self.me)).await
    }

    /// As [`session`](Self::session), under a policy of the test's own.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn session_under(&self, run: &Run, policy: Policy) -> Result<Session<'_>, RunFailed> {
        self.store_component(fs::read(&run.component).expect("the component"))
            .await?;
        self.open_session(&self.remote, policy).await
    }

    /// Stores the built component called `name`.
    ///
    /// # Panics
    /// When it was not built, or the host does not take it.
    pub async fn component(&self, name: &str) -> Digest {
        let wasm = fs::read(component(name)).expect("the component");
        self.store_component(wasm).await.expect("a component")
    }

    /// A session under `policy` that these parties approve.
    ///
    /// # Panics
    /// When it does not open, or an approval is refused.
    pub async fn approved(&self, policy: Policy, parties: &[&Identity]) -> Session<'_> {
        let session = self.open_session(&self.remote, policy).await;
        let session = session.expect("a session");
        for party in parties {
            approve(&session, party).await;
        }
        session
    }

    /// Opens a session as somebody else.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn session_of(
        &self,
        opener: &Identity,
        policy: Policy,
    ) -> Result<Session<'_>, RunFailed> {
        self.open_as(opener, &self.remote, policy).await
    }

    /// Opens a session under a policy whose components the host has, and appraises it.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn open_session<'r>(
        &self,
        remote: &'r Remote,
        policy: Policy,
    ) -> Result<Session<'r>, RunFailed> {
        self.open_as(&self.me, remote, policy).await
    }

    async fn open_as<'r>(
        &self,
        opener: &Identity,
        remote: &'r Remote,
        policy: Policy,
    ) -> Result<Session<'r>, RunFailed> {
        let opened = Opened::open(remote, policy, opener)
            .await
            .map_err(RunFailed::Remote)?;
        let (checks, session) = opened.appraise(&verifier(&self.trust()));
        session.map_err(|_| RunFailed::Appraisal(checks))
    }
}

/// States a party's approval of a session's policy.
///
/// # Panics
/// When it is refused.
pub async fn approve(session: &Session<'_>, party: &Identity) {
    let any = Digest::of(b"any");
    let approved = session.approve(party, &parse("run"), &any).await;
    approved.expect("an approval");
}

/// Appraises by these reference values; a simulator may pass.
pub(crate) fn verifier(trust: &TrustStore) -> Verifier<'_> {
    Verifier {
        trust,
        allow_simulated: true,
        now: SystemTime::now(),
        components: None,
        collateral: None,
    }
}

fn remote(error: HttpError) -> RunFailed {
    RunFailed::Remote(error.into())
}
