use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use mc2_protocol::{Digest, Identity, documents::broker::BrokerCard, policy::Policy};

use super::*;
use crate::{
    party::{Fingerprint, Parties},
    seal::{object::seal_to_folder, source::Source},
    state::{State, ledger::LedgerError},
};

/// An owner, its broker, and the folders of both.
struct Place {
    root: tempfile::TempDir,
    owner: Identity,
    broker: Broker,
    passphrase: Unlock,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("marks")).unwrap();
        let file = root.path().join("passphrase");
        fs::write(&file, "correct horse\n").unwrap();
        let passphrase = Unlock {
            passphrase: Some(file),
            pin: None,
        };
        let name = "keeper".parse().unwrap();
        let broker = folder(root.path()).init(name, &Keep::Passphrase, &passphrase);
        let owner = Identity::generate("owner".parse().unwrap(), &mut crate::random());
        Self {
            broker: broker.unwrap(),
            root,
            owner,
            passphrase,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn folder(&self) -> &Folder {
        self.broker.folder()
    }

    fn know_owner(&self) {
        let state = self.folder().state();
        let told: Fingerprint = self.owner.card().fingerprint().parse().unwrap();
        let mut parties = Parties::load(state).unwrap();
        parties.add(state, self.owner.card(), &told).unwrap();
    }

    /// A sealed object of the owner's, given to the broker as version `number`.
    fn give(&self, text: &str, number: u64) -> PathBuf {
        let file = self.at("data");
        fs::write(&file, text).unwrap();
        let source = Source::scan(&file).unwrap();
        let sealed = self.at(&format!("{text}-{number}.sealed"));
        let dataset = "data".parse().unwrap();
        let owner = self.owner.card();
        seal_to_folder(&source, &dataset, owner, &sealed, &mut |_| ()).unwrap();
        let state = State::at(self.at("owner"));
        give(&state, &self.owner, &sealed, self.broker.card(), number).unwrap();
        sealed
    }

    fn add(&self, sealed: &Path) -> Result<Held, BrokerError> {
        self.broker.add(sealed, SystemTime::now())
    }

    /// A policy of the owner's that names `broker` for its dataset.
    fn policy(&self, broker: &Identity, expires: &str) -> Policy {
        let signed = BrokerCard::sign(broker.card().clone(), &self.owner);
        let text = format!(
            "version = 1\nname = \"daily\"\nexpires = {expires}\nvisible = \"access\"\n\
             [enclave]\ntee = [\"sim\"]\nplatforms = \"any\"\ntcb = \"up-to-date\"\n\
             [[party]]\ncard = \"{}\"\n[[component]]\nname = \"w\"\nsha256 = \"{}\"\n\
             [[dataset]]\nname = \"data\"\nowner = \"owner\"\nbroker = \"{signed}\"\n\
             [[job]]\nname = \"run\"\nsubmit = [\"owner\"]\nruns = 2\n\
             limits = {{ memory = \"1GiB\", time = \"1min\", output = \"1MiB\" }}\n\
             [[job.step]]\ncomponent = \"w\"\ninputs = {{ data = \"dataset:data\" }}\nargs = []\n\
             outputs = {{ stdout = [\"owner\"] }}\npadding = \"exact\"\n",
            self.owner.card(),
            Digest::of(b"component"),
        );
        Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn own_policy(&self) -> Policy {
        self.policy(&self.broker.identity, "2999-12-31T00:00:00Z")
    }

    fn accept(&self, policy: &Policy, stated: Option<&Digest>) -> Result<(), BrokerError> {
        self.folder().accept(policy, stated, SystemTime::now())
    }

    /// What a reboot does to the mark.
    fn reboot(&self) {
        for mark in fs::read_dir(self.at("marks")).unwrap() {
            fs::remove_file(mark.unwrap().path()).unwrap();
        }
    }
}

fn folder(root: &Path) -> Folder {
    Folder::at(root.join("broker")).marked_in(root.join("marks"))
}

fn all_files(folder: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            found.push(fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_broker_is_made_once_and_unlocked_by_its_passphrase_alone() {
    let place = Place::new();
    let again = place.folder().unlock(&place.passphrase).unwrap();
    assert_eq!(again.card(), place.broker.card());
    let name = "another".parse().unwrap();
    let second = place
        .folder()
        .init(name, &Keep::Passphrase, &place.passphrase);
    assert!(matches!(second, Err(BrokerError::Exists { .. })));
    fs::write(place.at("passphrase"), "wrong horse\n").unwrap();
    let refused = place.folder().unlock(&place.passphrase);
    assert!(matches!(refused, Err(BrokerError::Key(_))));
    let none = Folder::at(place.at("nowhere")).unlock(&place.passphrase);
    assert!(matches!(none, Err(BrokerError::None { .. })));
}

#[test]
fn no_secret_lies_in_a_brokers_folder() {
    let place = Place::new();
    place.know_owner();
    let sealed = place.give("one", 1);
    place.add(&sealed).unwrap();
    let object = crate::seal::object::LocalObject::read(&sealed).unwrap();
    let state = State::at(place.at("owner"));
    let key = crate::seal::object::key_for(&object, &state, &place.owner).unwrap();
    let key = mc2_protocol::encoding::to_json(&key.unwrap());
    let identity = place.broker.identity.to_text();
    // The seeds' text, without what is the same in every identity.
    let secrets = [&key[1..40], &identity.as_bytes()[10..60]];
    for bytes in all_files(&place.at("broker")) {
        for secret in secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[test]
fn only_versions_the_known_owner_signed_are_taken_and_none_older_than_the_newest() {
    let place = Place::new();
    let two = place.give("two", 2);
    let unknown = place.add(&two);
    assert!(matches!(unknown, Err(BrokerError::UnknownOwner { .. })));
    place.know_owner();
    let held = place.add(&two).unwrap();
    assert_eq!(held.number, 2);
    // Again is no error.
    assert_eq!(place.add(&two).unwrap(), held);
    for refused in [place.give("one", 1), place.give("another", 2)] {
        let refused = place.add(&refused);
        let older = matches!(
            refused,
            Err(BrokerError::Ledger(LedgerError::OlderVersion {
                newest: 2,
                ..
            }))
        );
        assert!(older, "{refused:?}");
    }
    // Nor is a key of theirs kept.
    assert_eq!(
        place.folder().versions().unwrap(),
        std::slice::from_ref(&held)
    );
    let three = place.add(&place.give("three", 3)).unwrap();
    let now = SystemTime::now();
    place.folder().remove(&three.object, now).unwrap();
    // That there was a third is not forgotten with its key.
    assert!(place.add(&place.give("two and a half", 2)).is_err());
    let unsigned = place.give("four", 4);
    fs::remove_file(unsigned.join(handover::FILE)).unwrap();
    assert!(place.add(&unsigned).is_err());
}

#[test]
fn a_policy_is_accepted_that_names_this_broker_and_known_cards_and_has_not_ended() {
    let place = Place::new();
    let policy = place.own_policy();
    let refused = place.accept(&policy, None);
    assert!(matches!(refused, Err(BrokerError::Untrusted(_))));
    place.accept(&policy, Some(policy.digest())).unwrap();
    place.know_owner();
    place.accept(&policy, None).unwrap();
    let found = place.folder().policy(policy.digest()).unwrap();
    assert_eq!(found.bytes(), policy.bytes());
    assert_eq!(place.folder().accepted().unwrap().len(), 1);

    let other = Identity::generate("other".parse().unwrap(), &mut crate::random());
    let other = place.policy(&other, "2999-12-31T00:00:00Z");
    let refused = place.accept(&other, Some(other.digest()));
    assert!(matches!(refused, Err(BrokerError::NotNamed { .. })));
    let ended = place.policy(&place.broker.identity, "2020-12-31T00:00:00Z");
    let refused = place.accept(&ended, None);
    assert!(matches!(refused, Err(BrokerError::Ended { .. })));

    place
        .folder()
        .withdraw(policy.digest(), SystemTime::now())
        .unwrap();
    let gone = place.folder().policy(policy.digest());
    assert!(matches!(gone, Err(BrokerError::NotAccepted { .. })));
    // A file put under an accepted policy's name is not it.
    place.accept(&policy, None).unwrap();
    let path = place.at(&format!("broker/accepted/{}.json", policy.digest()));
    let text = fs::read_to_string(&path).unwrap();
    let base64 = |policy: &Policy| {
        let bytes = mc2_protocol::encoding::Base64(policy.bytes().to_vec());
        serde_json::to_string(&bytes).unwrap()
    };
    let swapped = text.replace(&base64(&policy), &base64(&ended));
    assert_ne!(swapped, text);
    fs::write(path, swapped).unwrap();
    let swapped = place.folder().policy(policy.digest());
    assert!(matches!(swapped, Err(BrokerError::Misplaced { .. })));
}

#[test]
fn who_withdraws_a_policy_waits_for_what_is_being_released_under_it() {
    let place = Place::new();
    let policy = place.own_policy();
    place.accept(&policy, Some(policy.digest())).unwrap();
    let (session, object) = (Digest::of(b"session"), Digest::of(b"object"));
    let data = "data".parse().unwrap();
    let releasing = place
        .folder()
        .state()
        .releasing(&session, [(&data, &object)]);
    let (folder, digest) = (folder(place.root.path()), *policy.digest());
    let (sender, withdrawn) = mpsc::channel();
    let withdrawing = thread::spawn(move || {
        sender
            .send(folder.withdraw(&digest, SystemTime::now()))
            .unwrap();
    });
    // Longer than it would take, had it nothing to wait for.
    let early = withdrawn.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "it did not wait");
    // Nothing more is released under it meanwhile.
    let granting = place.folder().granting(policy.digest(), SystemTime::now());
    assert!(matches!(granting, Err(BrokerError::NotAccepted { .. })));
    drop(releasing);
    withdrawn.recv().unwrap().unwrap();
    withdrawing.join().unwrap();
}

#[test]
fn after_a_reboot_nothing_is_taken_until_the_head_that_was_noted_is_stated() {
    let place = Place::new();
    place.know_owner();
    let policy = place.own_policy();
    let before = place.folder().state().ledger().head().unwrap();
    place.accept(&policy, None).unwrap();
    let noted = place.folder().state().ledger().head().unwrap();
    place.reboot();
    let sealed = place.give("one", 1);
    assert!(matches!(place.add(&sealed), Err(BrokerError::NotResumed)));
    assert!(matches!(
        place.accept(&policy, None),
        Err(BrokerError::NotResumed)
    ));

    let now = SystemTime::now();
    for (head, within) in [(Digest::of(b"another"), false), (before.last, false)] {
        match place.folder().resume(&head, false, now) {
            Err(BrokerError::OtherHead(other)) => assert_eq!(other.within, within),
            resumed => panic!("{resumed:?}"),
        }
        assert!(matches!(place.add(&sealed), Err(BrokerError::NotResumed)));
    }
    let resumed = place.folder().resume(&noted.last, false, now).unwrap();
    place.add(&sealed).unwrap();
    // What was noted before is within, and no longer the head.
    match place.folder().resume(&resumed.last, false, now) {
        Err(BrokerError::OtherHead(other)) => assert!(other.within),
        resumed => panic!("{resumed:?}"),
    }
}

#[test]
fn a_ledger_that_was_put_back_grants_nothing_until_its_head_is_stated() {
    let place = Place::new();
    place.know_owner();
    let ledger = place.at("broker/ledger.jsonl");
    let head = place.at("broker/ledger.jsonl.head");
    let old = [&ledger, &head].map(|path| fs::read(path).unwrap_or_default());
    let old_head = place.folder().state().ledger().head().unwrap();
    place.add(&place.give("one", 1)).unwrap();
    let noted = place.folder().state().ledger().head().unwrap();
    fs::write(&ledger, &old[0]).unwrap();
    fs::write(&head, &old[1]).unwrap();

    let two = place.give("two", 2);
    let refused = place.add(&two);
    let broken = matches!(
        refused,
        Err(BrokerError::Ledger(LedgerError::Broken { .. }))
    );
    assert!(broken, "{refused:?}");
    let now = SystemTime::now();
    let resumed = place.folder().resume(&noted.last, true, now);
    assert!(
        matches!(resumed, Err(BrokerError::OtherHead(_))),
        "{resumed:?}"
    );
    // Whoever accepts that the rest is forgotten says so.
    let head = &old_head.last;
    match place.folder().resume(head, false, now) {
        Err(BrokerError::RolledBack(back)) => {
            assert_eq!((back.marked, back.found), (noted, old_head));
        }
        resumed => panic!("{resumed:?}"),
    }
    assert!(place.add(&two).is_err());
    place.folder().resume(head, true, now).unwrap();
    place.add(&two).unwrap();
}
