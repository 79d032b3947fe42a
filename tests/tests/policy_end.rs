//! Once a policy has ended nothing more is given under it, and what was given is still followed,
//! stopped and ended.

use std::time::{Duration, SystemTime};

use mc2_client::{
    session::{Opened, SessionError, Verifier},
    state::State,
};
use mc2_protocol::{Digest, documents::message::JobPhase};
use mc2_tests::{Run, Stack, draft};

#[tokio::test]
async fn after_a_policy_s_end_its_jobs_are_stopped_and_its_sessions_ended_and_nothing_is_given() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sleep", "1000"]);
    let session = stack.session(&run).await.expect("a session");
    // Two sessions of one sender, as two processes have them.
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::at(folder.path().join("state"));
    let me = stack.me.card().digest();
    let numbers = |session: &Digest| state.sequence(session, me).expect("numbers");
    let taken = numbers(session.appraised().digest());
    let session = session.numbered(taken);
    let job = draft(&session, &run, &std::collections::BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    let (digest, policy) = (*session.appraised().digest(), session.policy().clone());

    // By a clock that says that the policy has ended.
    let trust = stack.trust();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(policy.expires());
    let verifier = Verifier {
        trust: &trust,
        allow_simulated: true,
        now,
        components: None,
        collateral: None,
    };
    let ask = || Opened::ask(&stack.remote, &digest, policy.clone());
    let (_, refused) = ask().await.expect("evidence").appraise(&verifier);
    assert!(refused.is_err(), "a policy that has ended was appraised");
    let (_, followed) = ask().await.expect("evidence").appraise_to_follow(&verifier);
    let followed = followed.expect("a session to follow");
    let followed = followed.numbered(numbers(&digest));

    let again = draft(&followed, &run, &std::collections::BTreeMap::new());
    for given in [
        followed.submit(&stack.me, &again).await.err(),
        followed.approve_policy(&stack.me).await.err(),
        followed.approve_job(&stack.me, &running.job).await.err(),
    ] {
        let given = given.expect("something was given");
        assert!(matches!(given, SessionError::Expired { .. }), "{given}");
    }
    let status = followed.status(&stack.me).await.expect("a status");
    assert!(matches!(
        status.jobs[0].state,
        JobPhase::Running | JobPhase::Starting
    ));
    followed
        .cancel(running.number, &stack.me)
        .await
        .expect("a cancellation");
    let patience = Duration::from_secs(60);
    followed
        .wait(running.number, patience, &stack.me, |_| ())
        .await
        .expect("an end");
    followed
        .receipt(running.number, &stack.me)
        .await
        .expect("a receipt");
    followed.end(&stack.me).await.expect("the session's end");
}
