//! Values that mean nothing in their place.

use super::*;

#[test]
fn a_step_reads_only_what_an_earlier_step_leaves_for_it() {
    refused(
        "accounts = \"dataset:accounts\" }",
        "accounts = \"step:features\" }",
        &["there is no output of an earlier step", "known: none"],
    );
    refused(
        "features = \"step\"",
        "features = [\"bank-a\"]",
        &["padding"],
    );
}

#[test]
fn a_stream_is_no_folder_and_feeds_no_step() {
    for stream in ["stderr = \"step\"", "\"stderr/\" = []"] {
        refused("stderr = []", stream, &["are no files"]);
    }
    let both = with(
        &two_banks(),
        "features = \"step\"",
        "features = \"step\", stderr = []",
    );
    parse(&both);
}

#[test]
fn a_step_has_as_many_instances_as_one_enclave_holds() {
    for instances in ["0", "17", "-1"] {
        refused(
            "component = \"xgboost\"",
            &format!("component = \"xgboost\"\ninstances = {instances}"),
            &["1 to 16"],
        );
    }
}

#[test]
fn the_simulator_stands_alone() {
    refused(
        "[\"sim\"]",
        "[\"sim\", \"tdx\"]",
        &["\"sim\" is no protection", "stands alone"],
    );
    refused(
        "[\"sim\"]",
        "[\"SIM\"]",
        &["one of sim, sgx, tdx, sev-snp, nitro, azure-vtpm"],
    );
    refused("[\"sim\"]", "\"sim\"", &["expected a list, found a string"]);
    refused("[\"sim\"]", "[\"tdx\", \"tdx\"]", &["twice"]);
}

#[test]
fn platforms_belong_to_the_tees_that_have_them() {
    let chip = "ab".repeat(64);
    let text = with(&two_banks(), "[\"sim\"]", "[\"sev-snp\", \"tdx\"]");
    let listed = |list: &str| {
        with(
            &text,
            "platforms = \"any\"",
            &format!("platforms = [{list}]"),
        )
    };
    let piid = "cd".repeat(16);
    let policy = parse(&listed(&format!(
        "\"chip:{chip}\", \"piid:{piid}\", \"vlek:aws-us\""
    )));
    let Platforms::Listed(platforms) = &policy.enclave().platforms else {
        panic!("listed");
    };
    assert_eq!(platforms[0].to_string(), format!("chip:{chip}"));
    assert!(refusal(&listed(&format!("\"chip:{chip}\""))).contains("could never be accepted"));
    for bad in [
        format!("\"chip:{}\"", "0".repeat(128)),
        format!("\"chip:{}\"", "AB".repeat(64)),
        "\"chip:ab\"".to_owned(),
        format!("\"piid:{}\"", "0".repeat(32)),
        "\"vlek:\"".to_owned(),
        "\"vlek:a b\"".to_owned(),
        "\"any\"".to_owned(),
        "\"\"".to_owned(),
    ] {
        assert!(
            refusal(&listed(&bad)).contains("\"chip:\" and 128"),
            "{bad}"
        );
    }
    refused(
        "platforms = \"any\"",
        &format!("platforms = [\"chip:{chip}\"]"),
        &["no TEE of this policy has platform ids"],
    );
}

#[test]
fn tcb_statuses_are_the_vendor_s_and_never_revoked() {
    let text = with(
        &two_banks(),
        "\"up-to-date\"",
        "[\"UpToDate\", \"SWHardeningNeeded\"]",
    );
    let policy = parse(&text);
    assert!(policy.enclave().tcb.allows(TcbStatus::SwHardeningNeeded));
    assert!(!policy.enclave().tcb.allows(TcbStatus::OutOfDate));
    refused(
        "\"up-to-date\"",
        "[\"Revoked\"]",
        &["a revoked TCB is never accepted"],
    );
    refused("\"up-to-date\"", "[\"UpToDate\", \"UpToDate\"]", &["twice"]);
}

#[test]
fn what_a_platform_may_be_set_up_with_is_named_one_by_one() {
    let on = |tee: &str, more: &str| {
        let text = with(&two_banks(), "[\"sim\"]", tee);
        with(
            &text,
            "tcb = \"up-to-date\"",
            &format!("tcb = \"up-to-date\"\n{more}"),
        )
    };
    let (tdx, snp) = ("[\"tdx\"]", "[\"sev-snp\"]");
    let none = parse(&on(tdx, "")).enclave().clone();
    assert_eq!(none.allow, PlatformFlags::default());
    assert_eq!((none.min_tcb_evaluation, none.min_snp_tcb), (0, None));
    let some = on(
        tdx,
        "allow = [\"cached-keys\", \"smt\"]\nmin_tcb_evaluation = 17",
    );
    let some = parse(&some).enclave().clone();
    assert!(some.allow.smt && some.allow.cached_keys && !some.allow.dynamic_platform);
    assert_eq!(some.min_tcb_evaluation, 17);
    let least = "min_snp_tcb = { bootloader = 4, tee = 0, snp = 24, microcode = 219 }";
    let found = parse(&on(snp, least)).enclave().min_snp_tcb;
    let expected = SnpTcb {
        fmc: 0,
        bootloader: 4,
        tee: 0,
        snp: 24,
        microcode: 219,
    };
    assert_eq!(found, Some(expected));
    for (tee, bad, words) in [
        (tdx, "allow = []", "empty"),
        (tdx, "allow = \"any\"", "a list"),
        (tdx, "allow = [\"debug\"]", "one of"),
        (tdx, "allow = [\"smt\", \"smt\"]", "twice"),
        (snp, "allow = [\"smt\"]", "about Intel's"),
        (snp, "min_tcb_evaluation = 17", "about Intel's"),
        (tdx, "min_tcb_evaluation = 0", "from 1 to"),
        (tdx, least, "about AMD's"),
        (snp, "min_snp_tcb = { snp = 24 }", "is missing"),
        (
            snp,
            "min_snp_tcb = { bootloader = 256, tee = 0, snp = 1, microcode = 1 }",
            "0 to 255",
        ),
    ] {
        let found = refusal(&on(tee, bad));
        assert!(found.contains(words), "{bad}: {found}");
    }
}

#[test]
fn limits_have_units_and_are_more_than_nothing() {
    for (from, to) in [
        ("\"3GiB\"", "\"3GB\""),
        ("\"3GiB\"", "\"0B\""),
        ("\"3GiB\"", "3"),
        ("\"30min\"", "\"30m\""),
        ("\"30min\"", "\"0s\""),
        ("\"64MiB\"", "\"-1B\""),
        ("\"power-of-two\"", "{ fixed = \"0B\" }"),
        ("\"power-of-two\"", "\"none\""),
    ] {
        refused(from, to, &["expected"]);
    }
    let text = with(&two_banks(), "\"power-of-two\"", "{ fixed = \"1MiB\" }");
    let padding = parse(&text).jobs()[0].steps[1].padding;
    assert_eq!(padding.padded(7), Some(1 << 20));
    assert_eq!(padding.padded((1 << 20) + 1), None);
    assert_eq!(Padding::PowerOfTwo.padded(1025), Some(2048));
    assert_eq!(Padding::Exact.padded(1025), Some(1025));
}

#[test]
fn more_approvals_than_approvers_are_refused() {
    for at_least in ["0", "3", "-1"] {
        let who = format!("who = {{ of = [\"bank-a\", \"bank-b\"], at_least = {at_least} }}");
        refused("who = \"all\"", &who, &["expected an integer from 1 to 2"]);
    }
    refused("\"session\"", "\"never\"", &["\"session\" or \"job\""]);
}

#[test]
fn a_pattern_is_exactly_one_thing() {
    for (bad, says) in [
        ("{ number = [1, 2], any = true }", "exactly one of"),
        ("{ params = {} }", "exactly one of"),
        ("{ pattern = \".*\" }", "unknown field \"pattern\""),
        ("7", "quote numbers"),
        ("{ number = [2, 1] }", "swap them"),
        ("{ number = [1] }", "the least and the most"),
        ("{ number = [1, 2, 3] }", "at most 2"),
        ("{ number = [0x1, 2] }", "a decimal number"),
        ("{ number = [1e3, 2e3] }", "without exponent"),
        ("{ number = [0.0, inf] }", "without exponent"),
        ("{ number = [0.0, nan] }", "without exponent"),
        ("{ number = [\"1\", \"2\"] }", "a decimal number"),
        ("{ one_of = [\"a\", \"a\"] }", "twice"),
        ("\"a\\u0000b\"", "NUL"),
        ("{ fixed_sql = \"\" }", "the text of a query"),
        ("{ fixed_sql = \"select $x\" }", "type in `params` for"),
        (
            "{ fixed_sql = \"select $\", params = {} }",
            "type in `params` for",
        ),
        (
            "{ fixed_sql = \"select 1\", params = { x = \"date\" } }",
            "placeholder",
        ),
        (
            "{ fixed_sql = \"select $x\", params = { x = \"regex\" } }",
            "\"date\", \"number\"",
        ),
    ] {
        refused("{ any = true }", bad, &[says]);
    }
    let sql = "{ fixed_sql = \"select $from\", params = { from = \"date\" } }";
    parse(&with(&two_banks(), "{ any = true }", sql));
}

#[test]
fn volume_wants_padding_even_of_a_lone_party() {
    refused(
        "\"access\"",
        "\"everything\"",
        &["\"access\" or \"volume\""],
    );
    let volume = with(&two_banks(), "\"access\"", "\"volume\"");
    parse(&volume);
    let exact = with(&volume, "\"power-of-two\"", "\"exact\"");
    assert!(refusal(&exact).contains("hides lengths"));
    let lone = with(
        &one_bank(),
        "version = 1",
        "version = 1\nvisible = \"volume\"",
    );
    assert!(refusal(&lone).contains("`padding` is missing"));
}
