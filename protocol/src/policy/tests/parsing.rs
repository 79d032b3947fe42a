//! What is a policy and what is not.

use super::*;

#[test]
fn the_policy_of_the_factory_is_read_whole() {
    let text = two_banks();
    let policy = parse(&text);
    assert_eq!(policy.bytes(), text.as_bytes());
    assert_eq!(*policy.digest(), Digest::of(text.as_bytes()));
    assert_eq!(policy.name().as_str(), "two-banks");
    assert_eq!(policy.expires(), 1_798_675_200);
    assert!(policy.is_expired(1_798_675_200) && !policy.is_expired(1_798_675_199));
    assert_eq!(policy.visible(), Visible::Access);
    assert_eq!(policy.enclave().tee, [Tee::Sim]);
    assert_eq!(policy.parties().len(), 2);
    let bank_b = bank_b();
    assert_eq!(
        **policy.party(bank_b.card().digest()).unwrap(),
        *bank_b.card()
    );
    assert_eq!(
        policy.party_by_name("bank-b").unwrap().name().as_str(),
        "bank-b"
    );
    let accounts = "accounts".parse().unwrap();
    assert_eq!(**policy.owner_of(&accounts).unwrap(), *bank_b.card());
    let job = policy.job(&"train".parse().unwrap()).unwrap();
    assert_eq!(job.limits.memory.bytes(), 3 << 30);
    assert_eq!(job.limits.scratch, job.limits.memory);
    assert_eq!(job.limits.time.millis(), 1_800_000);
    assert_eq!(job.steps[1].padding, Padding::PowerOfTwo);
    let stderr = job.steps[1].output("stderr").unwrap();
    assert!(stderr.recipients().is_empty() && !stderr.is_released());
    assert!(job.steps[1].output("stdout").is_none(), "silence is nobody");
}

#[test]
fn a_lone_party_gets_what_its_job_prints_and_may_leave_out_what_concerns_others() {
    let policy = parse(&one_bank());
    let step = &policy.jobs()[0].steps[0];
    for stream in RESERVED {
        assert_eq!(
            step.output(stream).unwrap().recipients().len(),
            1,
            "{stream}"
        );
    }
    assert_eq!(step.padding, Padding::Exact);
    assert!(policy.jobs()[0].approve.is_none());
    let quiet = with(
        &one_bank(),
        "args = \"any\"",
        "args = \"any\"\noutputs = { stdout = [] }",
    );
    let policy = parse(&quiet);
    assert!(
        !policy.jobs()[0].steps[0]
            .output("stdout")
            .unwrap()
            .is_released()
    );
}

#[test]
fn an_output_may_say_what_kind_of_data_it_is_to_be() {
    let plain = "model = [\"bank-b\"]";
    let media_type = |to: &str| {
        let policy = parse(&with(&two_banks(), plain, to));
        let output = policy.jobs()[0].steps[1].output("model").unwrap().clone();
        (output.to, output.media_type.as_str().to_owned())
    };
    let (to, silent) = media_type(plain);
    assert_eq!(silent, "application/octet-stream");
    let said = "model = { to = [\"bank-b\"], media_type = \"application/json\" }";
    assert_eq!(media_type(said), (to, "application/json".to_owned()));
    let said = "model = { custody = \"bank-b\", runs = 1, media_type = \"application/json\" }";
    assert_eq!(media_type(said).1, "application/json");
    for (to, says) in [
        (
            "model = { to = [\"bank-b\"], media_type = \"json\" }",
            "with a /",
        ),
        ("model = { to = [\"bank-b\"], runs = 1 }", "custody"),
        ("model = { media_type = \"text/csv\" }", "custody"),
        ("model = { to = [\"bank-c\"] }", "bank-c"),
        (
            "stdout = { to = [\"bank-b\"], media_type = \"text/plain\" }",
            "no media type",
        ),
    ] {
        refused(plain, to, &[says]);
    }
}

#[test]
fn an_error_names_line_column_path_and_what_to_write() {
    let error = refusal(&with(&two_banks(), "runs = 2", "runs = 0"));
    let line = two_banks()
        .lines()
        .position(|line| line == "runs = 2")
        .unwrap()
        + 1;
    assert_eq!(
        error,
        format!(
            "policy, line {line}, column 8, in job[1].runs: expected an integer from 1 to \
             4294967295, found \"0\""
        )
    );
}

#[test]
fn an_unknown_field_is_refused_at_every_depth_with_the_accepted_names() {
    for (from, to, accepted) in [
        (
            "version = 1",
            "version = 1\nhost = \"x\"",
            "version, name, expires",
        ),
        ("tcb = ", "debug = true\ntcb = ", "tee, platforms, tcb"),
        (
            "name = \"sql\"",
            "name = \"sql\"\nurl = \"x\"",
            "name, sha256",
        ),
        (
            "owner = \"bank-a\"",
            "owner = \"bank-a\"\nkey = \"x\"",
            "owner, object, broker",
        ),
        ("runs = 2", "runs = 2\nretries = 1", "submit, approve, runs"),
        (
            "padding = ",
            "env = {}\npadding = ",
            "component, instances, inputs",
        ),
        (
            "output = \"64MiB\"",
            "output = \"64MiB\", disk = \"1B\"",
            "memory, time, output",
        ),
        (
            "when = \"session\"",
            "when = \"session\", by = 1",
            "who, when",
        ),
        (
            "{ any = true }",
            "{ any = true, glob = \"*\" }",
            "number, one_of, any",
        ),
    ] {
        refused(from, to, &["unknown field", accepted]);
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    refused(
        "runs = 2",
        "runs = 2\nruns = 3",
        &["line", "duplicate key `runs`"],
    );
    refused(
        "[enclave]",
        "[enclave]\n[enclave]",
        &["line", "duplicate key `enclave`"],
    );
    refused(
        "{ features = \"step\" }",
        "{ features = \"step\", features = [] }",
        &["line", "duplicate key `features`"],
    );
}

#[test]
fn no_field_that_matters_has_a_default() {
    let text = two_banks();
    for field in [
        "version",
        "expires",
        "visible",
        "tee",
        "platforms",
        "tcb",
        "submit",
        "approve",
        "runs",
        "limits",
        "padding",
    ] {
        let start = format!("{field} = ");
        let lines = text.lines().filter(|line| !line.starts_with(&start));
        let without: Vec<&str> = lines.collect();
        let error = refusal(&without.join("\n"));
        assert!(
            error.contains(&format!("the field `{field}` is missing")),
            "{error}"
        );
    }
    for (from, to, field) in [
        (
            "args = [\"--output\", \"features\", { any = true }]\n",
            "",
            "args",
        ),
        ("memory = \"3GiB\", ", "", "memory"),
        (", time = \"30min\"", "", "time"),
        (", output = \"64MiB\"", "", "output"),
        (", when = \"session\"", "", "when"),
        ("who = \"all\", ", "", "who"),
        ("component = \"xgboost\"\n", "", "component"),
    ] {
        refused(from, to, &[&format!("the field `{field}` is missing")]);
    }
}

#[test]
fn empty_is_not_any() {
    for (from, to) in [
        ("tee = [\"sim\"]", "tee = []"),
        ("platforms = \"any\"", "platforms = []"),
        ("tcb = \"up-to-date\"", "tcb = []"),
        ("submit = [\"bank-a\"]", "submit = []"),
        ("who = \"all\"", "who = []"),
        ("who = \"all\"", "who = { of = [], at_least = 1 }"),
        ("{ one_of = [\"hist\", \"-x\"] }", "{ one_of = [] }"),
    ] {
        refused(from, to, &["empty"]);
    }
    for (from, to) in [
        ("{ number = [1, 500] }", "{ number = [] }"),
        ("who = \"all\"", "who = \"\""),
        ("who = \"all\"", "who = \"any\""),
        ("platforms = \"any\"", "platforms = \"\""),
        ("tcb = \"up-to-date\"", "tcb = \"any\""),
        ("{ any = true }", "{ any = false }"),
        ("{ any = true }", "{}"),
        (
            "args = [\"--output\", \"features\", { any = true }]",
            "args = \"\"",
        ),
    ] {
        refused(from, to, &["line"]);
    }
    for list in ["party", "component", "job"] {
        let text = two_banks();
        let without = text.replace(&format!("[[{list}]]"), "[[dataset]]");
        assert!(Policy::parse(without.as_bytes()).is_err(), "{list}");
    }
}

#[test]
fn two_names_for_one_party_and_one_name_for_two_keys_are_refused() {
    let b = bank_b().card().to_string();
    for (twin, what) in [
        (identity("bank-a", 9), "party name \"bank-a\""),
        (
            identity_of("bank-c", 1, 9),
            "signing key, now of party \"bank-c\"",
        ),
        (
            identity_of("bank-c", 9, 1),
            "X-Wing key, now of party \"bank-c\"",
        ),
        (bank_a(), "party name \"bank-a\""),
    ] {
        refused(&b, &twin.card().to_string(), &[what, "twice"]);
    }
}

#[test]
fn a_broker_is_nobody_s_twin() {
    let text = with(
        &two_banks(),
        "owner = \"bank-a\"",
        &brokered("bank-a", &clinic(), &bank_a()),
    );
    let policy = parse(&text);
    let card = clinic().card().clone();
    assert_eq!(policy.datasets()[0].broker.as_deref(), Some(&card));
    assert!(policy.party(card.digest()).is_none());
    assert!(policy.speaker(card.digest()).is_some());
    for twin in [bank_b(), identity("bank-b", 9), identity_of("broker", 2, 9)] {
        let broker = brokered("bank-a", &twin, &bank_a());
        refused("owner = \"bank-a\"", &broker, &["twice"]);
    }
    let other = brokered("bank-b", &identity("clinic", 9), &bank_b());
    assert!(refusal(&with(&text, "owner = \"bank-b\"", &other)).contains("twice"));
}

#[test]
fn a_broker_that_the_dataset_s_owner_did_not_sign_is_refused() {
    let owner = "owner = \"bank-a\"";
    let broker = clinic();
    for signer in [bank_b(), broker, identity("bank-a", 9)] {
        let forged = brokered("bank-a", &clinic(), &signer);
        refused(
            owner,
            &forged,
            &["clinic is not bank-a's", "mc2 broker sign"],
        );
    }
    let unsigned = format!("{owner}\nbroker = \"{}\"", clinic().card());
    refused(owner, &unsigned, &["not signed", "mc2 broker sign"]);
    let good = brokered("bank-a", &clinic(), &bank_a());
    let altered = good.replacen("mc2broker1AQ", "mc2broker1Aw", 1);
    refused(owner, &altered, &["format version 3"]);
    let other = if good.ends_with("A\"") { "B\"" } else { "A\"" };
    let altered = format!("{}{other}", &good[..good.len() - 2]);
    refused(owner, &altered, &["broker"]);
    refused(
        owner,
        &good.replacen("mc2broker1", " mc2broker1", 1),
        &["not spelt as"],
    );
}

#[test]
fn a_broker_stands_for_one_owner_and_as_many_of_its_datasets_as_there_are() {
    let text = with(
        &two_banks(),
        "owner = \"bank-a\"",
        &brokered("bank-a", &clinic(), &bank_a()),
    );
    // Even where the other owner signed it too.
    let other = brokered("bank-b", &clinic(), &bank_b());
    let refusal = refusal(&with(&text, "owner = \"bank-b\"", &other));
    assert!(refusal.contains("clinic is bank-a's broker"), "{refusal}");
    let same = brokered("bank-a", &clinic(), &bank_a());
    parse(&with(&text, "owner = \"bank-b\"", &same));
}

#[test]
fn an_altered_or_respelt_card_is_refused() {
    let card = bank_a().card().to_string();
    let other = if card.ends_with('A') { "B" } else { "A" };
    let altered = format!("{}{other}", &card[..card.len() - 1]);
    refused(&card, &altered, &["card"]);
    refused(&card, &format!(" {card}"), &["not spelt as"]);
    refused(&card, "mc2secret1abc", &["not a card"]);
}

#[test]
fn names_and_digests_stand_once_and_references_resolve() {
    let sql = Digest::of(b"sql").to_string();
    let xgboost = Digest::of(b"xgboost").to_string();
    for (from, to, says) in [
        (
            "name = \"xgboost\"",
            "name = \"sql\"",
            "component name \"sql\" is given twice",
        ),
        (xgboost.as_str(), sql.as_str(), "component digest"),
        (
            "name = \"accounts\"",
            "name = \"transactions\"",
            "dataset name",
        ),
        (
            "submit = [\"bank-a\"]",
            "submit = [\"bank-a\", \"bank-a\"]",
            "party \"bank-a\"",
        ),
        (
            "submit = [\"bank-a\"]",
            "submit = [\"bank-c\"]",
            "there is no party \"bank-c\"",
        ),
        (
            "owner = \"bank-a\"",
            "owner = \"bank-c\"",
            "known: bank-a, bank-b",
        ),
        (
            "component = \"sql\"",
            "component = \"spark\"",
            "known: sql, xgboost",
        ),
        (
            "\"dataset:accounts\"",
            "\"dataset:customers\"",
            "known: transactions, accounts",
        ),
        ("\"step:features\"", "\"step:model\"", "known: features"),
        ("\"step:features\"", "\"features\"", "\"dataset:NAME\""),
        (
            "model = [\"bank-b\"]",
            "model = [\"clinic\"]",
            "there is no party \"clinic\"",
        ),
        (
            "model = [\"bank-b\"]",
            "features = [\"bank-b\"]",
            "output \"features\" is given twice",
        ),
        (
            "model = [\"bank-b\"]",
            "model = [], \"model/\" = []",
            "output \"model\" is given twice",
        ),
        (
            "model = [\"bank-b\"]",
            "model = \"bank-b\"",
            "\"step\", or a list of parties",
        ),
        ("model = [\"bank-b\"]", "\"../model\" = []", "not allowed"),
    ] {
        refused(from, to, &[says]);
    }
    refused(
        &sql,
        &sql.to_uppercase(),
        &["64 lower-case hexadecimal digits"],
    );
}

#[test]
fn a_time_without_offset_or_in_quotes_is_refused() {
    for bad in [
        "2026-12-31",
        "2026-12-31T00:00:00",
        "\"2026-12-31T00:00:00Z\"",
        "1798675200",
    ] {
        refused(
            "2026-12-31T00:00:00Z",
            bad,
            &["expires", "2026-12-31T00:00:00Z"],
        );
    }
    assert!(refusal(&with(&two_banks(), "2026-12-31", "2026-02-30")).contains("line 3"));
}

#[test]
fn bytes_that_are_no_policy_are_refused() {
    let error = |bytes: &[u8]| Policy::parse(bytes).unwrap_err();
    let large = vec![b'#'; MAX_LEN + 1];
    assert_eq!(error(&large), PolicyError::TooLarge { found: MAX_LEN + 1 });
    assert_eq!(error(b"version = 1\xff"), PolicyError::NotText { at: 11 });
    assert_eq!(error(b"version = ").code(), "policy-syntax");
    assert_eq!(error(b"").code(), "policy-invalid");
    assert!(
        error(b"version = 2")
            .to_string()
            .contains("version 1, the one this release reads")
    );
    let deep = format!("x = {}", "[".repeat(100_000));
    assert_eq!(error(deep.as_bytes()).code(), "policy-syntax");
}
