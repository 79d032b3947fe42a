//! Runs in a session: keys, job, receipt, outputs.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use mc2_client::{
    open::{Exact, Fetched, Opening},
    policy::OneParty,
    remote::Uploaded,
    session::{Running, Session},
    verify::{Expected, failure, figures::Figures, verify},
};
use mc2_protocol::{
    DataKey, Digest, Identity, Name,
    documents::{
        job::Job,
        message::Release,
        receipt::{OutputSecret, Receipt},
    },
};

use super::Stack;
use crate::{Finished, Run, RunFailed, parse, rng};

impl Stack {
    /// Seals the inputs, opens a session, runs, verifies the receipt and opens the outputs.
    ///
    /// # Errors
    /// [`RunFailed`]: where it broke off.
    pub async fn run(&self, run: &Run) -> Result<Finished, RunFailed> {
        let session = self.session(run).await?;
        self.run_in(&session, run).await
    }

    /// As [`run`](Self::run), in a session that is open.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn run_in(&self, session: &Session<'_>, run: &Run) -> Result<Finished, RunFailed> {
        let objects = self.release_inputs(session, run, 1).await?;
        self.submit(session, run, &objects).await
    }

    /// Seals the run's inputs and gives their keys to the session for so many runs.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn release_inputs(
        &self,
        session: &Session<'_>,
        run: &Run,
        runs: u32,
    ) -> Result<BTreeMap<Name, Digest>, RunFailed> {
        let mut objects = BTreeMap::new();
        let mut keys = Vec::new();
        for (name, bytes) in &run.inputs {
            let uploaded = self.seal(name, bytes).await;
            objects.insert(parse(name), uploaded.object);
            keys.push(release(name, &uploaded, runs));
        }
        session
            .release(&self.me, &self.ledger, keys, SystemTime::now())
            .await
            .map_err(RunFailed::Session)?;
        Ok(objects)
    }

    /// Submits the run over objects whose keys were released, and follows it to its end.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn submit(
        &self,
        session: &Session<'_>,
        run: &Run,
        objects: &BTreeMap<Name, Digest>,
    ) -> Result<Finished, RunFailed> {
        let job = draft(session, run, objects);
        self.submit_job(session, &self.me, &job).await
    }

    /// Submits a job as `submitter`, follows it to its end, and opens what is its.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn submit_job(
        &self,
        session: &Session<'_>,
        submitter: &Identity,
        job: &Job,
    ) -> Result<Finished, RunFailed> {
        let running = session
            .submit(submitter, job)
            .await
            .map_err(RunFailed::Session)?;
        self.finish(session, submitter, &running).await
    }

    /// Follows a job to its end, and opens what is its submitter's.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn finish(
        &self,
        session: &Session<'_>,
        submitter: &Identity,
        running: &Running<'_, '_>,
    ) -> Result<Finished, RunFailed> {
        running
            .wait(submitter, |_| ())
            .await
            .map_err(RunFailed::Session)?;
        let envelope = running
            .receipt(submitter)
            .await
            .map_err(RunFailed::Session)?;
        let session_digest = *session.appraised().digest();
        let expected = Expected {
            trust: &self.trust(),
            allow_simulated: true,
            now: SystemTime::now(),
            policy: Some(session.policy()),
            components: None,
            nonce: Some(session.nonce()),
            session: Some(&session_digest),
            number: Some(running.number),
            job: Some(&running.job),
            submitter: Some(submitter.card().digest()),
            collateral: None,
        };
        let verified = verify(&envelope, &expected)
            .accept()
            .map_err(RunFailed::Receipt)?;
        let receipt = verified.receipt;
        let outputs = self
            .open_outputs(&receipt, &session_digest, submitter)
            .await?;
        let reader = std::slice::from_ref(submitter);
        Ok(Finished {
            failure: failure::detail(&receipt, &session_digest, reader),
            figures: Figures::open(&receipt, &session_digest, reader),
            receipt,
            envelope,
            outputs,
            session: session_digest,
            job: running.job,
        })
    }

    /// Opens every output of a verified receipt whose key is wrapped to `reader`.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn open_outputs(
        &self,
        receipt: &Receipt,
        session: &Digest,
        reader: &Identity,
    ) -> Result<BTreeMap<String, Vec<u8>>, RunFailed> {
        let mut outputs = BTreeMap::new();
        let card = reader.card().digest();
        for output in &receipt.outputs {
            let sealed = output.recipients.iter().find(|one| one.card == *card);
            let Some(sealed) = sealed else { continue };
            let secret = OutputSecret::open(session, &receipt.job, &output.name, sealed, reader)
                .expect("what is sealed to the reader");
            let fetched = Fetched::from(&self.remote, &output.object, secret.length).await;
            let fetched = fetched.map_err(RunFailed::Remote)?;
            let manifest = fetched.manifest();
            let opening = Opening {
                manifest,
                key: &secret.key,
                exact: Some(Exact::from(&secret)),
                from: fetched.sealed(),
            };
            let target = self.client_folder().join(format!("out-{}", output.object));
            if let Err(error) = opening.to_path(&target, &mut |_| ()).await {
                assert!(
                    !target.exists(),
                    "an output that does not open leaves a file"
                );
                return Err(RunFailed::Open(error));
            }
            if manifest.is_folder() {
                collect(&target, &output.name, &mut outputs);
                fs::remove_dir_all(&target).expect("own folder");
            } else {
                outputs.insert(
                    output.name.clone(),
                    fs::read(&target).expect("an opened file"),
                );
                fs::remove_file(&target).expect("own file");
            }
        }
        Ok(outputs)
    }
}

/// The job of a run under a session's policy, with a fresh salt.
///
/// # Panics
/// When the policy does not allow it.
pub fn draft(session: &Session<'_>, run: &Run, objects: &BTreeMap<Name, Digest>) -> Job {
    let words: Vec<&str> = run.arguments.iter().map(String::as_str).collect();
    draft_job(session, OneParty::JOB, objects, &[&words])
}

/// A job under a session's policy, by its name there, with a command line for each step and a fresh
/// salt.
pub fn draft_job(
    session: &Session<'_>,
    name: &str,
    objects: &BTreeMap<Name, Digest>,
    steps: &[&[&str]],
) -> Job {
    let mut salt = [0; 32];
    rand_core::Rng::fill_bytes(&mut rng(), &mut salt);
    let words = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let steps = steps.iter().map(words).collect();
    let job = session.policy().draft(&parse(name), objects, steps, salt);
    job.expect("a job the policy allows")
}

/// The release of an uploaded object's key for so many runs.
pub fn release(dataset: &str, uploaded: &Uploaded, runs: u32) -> Release {
    let key = DataKey {
        dataset: parse(dataset),
        object: uploaded.object,
        secret: uploaded.key.clone(),
    };
    Release {
        key,
        length: None,
        runs,
    }
}

/// The files of an opened folder, by name.
fn collect(folder: &Path, name: &str, outputs: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("an opened folder") {
        let path = entry.expect("an opened file").path();
        let below = path.file_name().expect("a name").to_string_lossy();
        let name = format!("{name}/{below}");
        if path.is_dir() {
            collect(&path, &name, outputs);
        } else {
            outputs.insert(name, fs::read(&path).expect("an opened file"));
        }
    }
}
