//! Row 35 of the attacks in SECURITY.md, as a person's commands meet it: what an accepted session was
//! judged by is remembered in the state folder, and older collateral is refused from then on. And what
//! a verifier has at hand is used beside what comes with the evidence.

use std::time::{Duration, SystemTime};

use mc2_attestation::{
    Check, Endorsement, Interval, Measurement, ReferenceValue, Tee, TrustStore, UnixSeconds,
    evidence::Needs,
    test_util::{
        factory::{self, Session as Factory},
        forger::{Intel, Td},
    },
};
use mc2_client::{
    collateral::{Bundle, Collateral},
    http::Trust,
    remote::Remote,
    session::{Opened, Session, Verifier},
    state::State,
};
use mc2_protocol::{
    documents::{control::SessionOpened, record::report_data},
    policy::Policy,
};

const NOW: u64 = 1_796_000_000;

fn intel() -> Intel {
    let good = Interval::new(UnixSeconds(NOW - 1000), UnixSeconds(NOW + 1000));
    Intel::new(7, good)
}

/// One who asks a host for evidence of a session in a forged TD.
struct Asking {
    remote: Remote,
    session: Factory,
    td: Td,
}

impl Asking {
    fn new(intel: &Intel) -> Self {
        let mut session = Factory::new(&factory::policy("[\"tdx\"]"))
            .with_record(|record| record.runtime.name = "mc2-runtime".to_owned());
        let asked = report_data(&session.record_bytes, &session.nonce);
        let td = Td::new(5, [0x11; 48], asked);
        session.evidence = intel.tdx_quote(&td);
        let nowhere = "http://127.0.0.1:1".parse().expect("an address");
        Self {
            // Nothing is asked of it: what it answered is here.
            remote: Remote::connect(nowhere, &Trust::System).expect("a client"),
            session,
            td,
        }
    }

    /// What this person trusts, with the forger in Intel's place.
    fn trust(&self, state: &State, intel: &Intel) -> TrustStore {
        let mut trust = state.trusted().expect("a trust store");
        trust.set_roots(intel.roots());
        let names = ["RTMR0", "RTMR1", "RTMR2"].into_iter();
        let registers = names.zip(self.td.rtmrs).map(|(name, value)| {
            let value = hex::encode(value).parse().expect("a register");
            (name.to_owned(), value)
        });
        let value = ReferenceValue {
            tee: Tee::Tdx,
            measurement: Measurement::from_bytes(&[0x11; 48]).expect("a measurement"),
            runtime: "mc2-runtime".to_owned(),
            version: factory::VERSION.to_owned(),
            revoked: false,
            registers: registers.collect(),
        };
        trust.add(value).expect("a reference value");
        trust
    }

    /// Appraises what the host answered, its evidence and `came` beside it.
    fn appraise(
        &self,
        trust: &TrustStore,
        came: Vec<Endorsement>,
        own: Option<&Collateral>,
    ) -> Result<Session<'_>, Vec<Check>> {
        let opened = SessionOpened {
            record: self.session.record_bytes.clone().into(),
            evidence: self.session.evidence.clone(),
            endorsements: came,
        };
        let policy = Policy::parse(&self.session.policy_bytes).expect("a policy");
        let opened = Opened::again(&self.remote, policy, self.session.nonce, opened);
        let (_, session) = opened.appraise(&Verifier {
            trust,
            allow_simulated: false,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
            components: None,
            collateral: own,
        });
        session.map_err(|refused| refused.failed)
    }
}

fn state() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::at(folder.path().join("mc2"));
    (folder, state)
}

fn own(asking: &Asking, endorsement: Endorsement, fetched: u64) -> Collateral {
    let needs = Needs::of(&asking.session.evidence).expect("a quote");
    let mut bundle = Bundle::default();
    bundle.take(&needs, vec![endorsement], fetched);
    Collateral::new(bundle, 30)
}

fn first(refused: Result<Session<'_>, Vec<Check>>) -> &'static str {
    match refused {
        Ok(_) => "accepted",
        Err(failed) => failed[0].id,
    }
}

#[test]
fn collateral_older_than_what_a_session_was_accepted_by_is_refused_from_then_on() {
    let (_folder, state) = state();
    let newer = intel();
    let mut older_list = newer.clone();
    older_list.list_number -= 1;
    let mut older_assessment = newer.clone();
    older_assessment.evaluation -= 1;
    let asking = Asking::new(&newer);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let judged = |intel: &Intel| {
        let trust = asking.trust(&state, intel);
        let session = asking.appraise(&trust, vec![intel.collateral(Tee::Tdx)], None);
        if let Ok(session) = &session {
            let noted = state.note_seen(session.appraised(), now);
            noted.expect("a trust store");
        }
        first(session)
    };
    // Each is good until something newer was seen.
    assert_eq!(judged(&older_list), "accepted");
    assert_eq!(judged(&newer), "accepted");
    assert_eq!(judged(&older_list), "collateral-rollback");
    assert_eq!(judged(&older_assessment), "collateral-rollback");
    assert_eq!(judged(&newer), "accepted");
    assert!(!state.trusted().expect("a trust store").seen().is_empty());
}

#[test]
fn a_session_is_appraised_with_what_is_at_hand_and_submits_with_the_same() {
    let (_folder, state) = state();
    let newer = intel();
    let mut older = newer.clone();
    older.good.from.0 -= 10;
    let asking = Asking::new(&newer);
    let trust = asking.trust(&state, &newer);
    let collateral = newer.collateral(Tee::Tdx);
    assert_eq!(
        first(asking.appraise(&trust, Vec::new(), None)),
        "collateral"
    );
    let own = own(&asking, collateral.clone(), NOW);
    for came in [Vec::new(), vec![older.collateral(Tee::Tdx)]] {
        let session = asking.appraise(&trust, came, Some(&own));
        let session = session.unwrap_or_else(|failed| panic!("{failed:?}"));
        assert_eq!(session.endorsements(), std::slice::from_ref(&collateral));
    }
}

#[test]
fn collateral_that_was_fetched_too_long_ago_is_not_used_and_the_refusal_says_how_to_fetch_it() {
    let (_folder, state) = state();
    let intel = intel();
    let asking = Asking::new(&intel);
    let trust = asking.trust(&state, &intel);
    let month = 30 * 86_400;
    let fetched = |when| own(&asking, intel.collateral(Tee::Tdx), when);
    let used = fetched(NOW - month);
    assert_eq!(
        first(asking.appraise(&trust, Vec::new(), Some(&used))),
        "accepted"
    );
    let stale = fetched(NOW - month - 1);
    let refused = asking.appraise(&trust, Vec::new(), Some(&stale));
    let failed = refused.err().expect("it is refused");
    let ids: Vec<&str> = failed.iter().map(|check| check.id).collect();
    assert!(ids.contains(&"collateral-age"), "{ids:?}");
    for check in failed
        .iter()
        .filter(|check| check.id.starts_with("collateral"))
    {
        assert!(check.advice.contains("mc2 collateral fetch"), "{check}");
    }
}

#[test]
fn a_policy_decides_how_a_platform_may_be_set_up_and_its_least_assessment() {
    let (_folder, state) = state();
    let mut intel = intel();
    intel.smt = true;
    let mut asking = Asking::new(&intel);
    let trust = asking.trust(&state, &intel);
    let plain = asking.session.policy_bytes.clone();
    let mut under = |more: &str| {
        let text = String::from_utf8(plain.clone()).expect("a policy");
        let text = text.replace(
            "tcb = \"up-to-date\"",
            &format!("tcb = \"up-to-date\"\n{more}"),
        );
        let mut session = Factory::new(&text)
            .with_record(|record| record.runtime.name = "mc2-runtime".to_owned());
        asking.td.report_data = report_data(&session.record_bytes, &session.nonce);
        session.evidence = intel.tdx_quote(&asking.td);
        asking.session = session;
        first(asking.appraise(&trust, vec![intel.collateral(Tee::Tdx)], None))
    };
    assert_eq!(under(""), "platform-configuration");
    assert_eq!(under("allow = [\"cached-keys\"]"), "platform-configuration");
    assert_eq!(under("allow = [\"smt\"]"), "accepted");
    assert_eq!(
        under("allow = [\"smt\"]\nmin_tcb_evaluation = 20"),
        "accepted"
    );
    assert_eq!(
        under("allow = [\"smt\"]\nmin_tcb_evaluation = 21"),
        "tcb-info"
    );
}
