//! What of a guest's own words a failed run lets out.

use super::*;

fn errors(text: &str) -> Errors {
    parse(text).jobs()[0].errors.clone()
}

#[test]
fn several_parties_say_what_a_failed_run_lets_out_and_a_lone_one_need_not() {
    let text = with(&two_banks(), "errors = \"full\"\n", "");
    assert!(refusal(&text).contains("`errors` is missing"));
    assert_eq!(errors(&two_banks()), Errors::Full);
    assert_eq!(errors(&one_bank()), Errors::Full);
    for (value, expected) in [
        ("\"none\"", Errors::None),
        (
            "{ codes = [\"bad-row\", \"no-rows\"] }",
            Errors::Codes(vec!["bad-row".parse().unwrap(), "no-rows".parse().unwrap()]),
        ),
    ] {
        let value = format!("errors = {value}");
        assert_eq!(
            errors(&with(&two_banks(), "errors = \"full\"", &value)),
            expected
        );
    }
}

#[test]
fn codes_are_names_each_once_and_at_least_one() {
    for (value, says) in [
        ("\"some\"", "\"full\""),
        ("[\"bad-row\"]", "\"full\""),
        ("{}", "`codes` is missing"),
        ("{ codes = [] }", "errors = \"none\""),
        ("{ codes = [\"a\", \"a\"] }", "twice"),
        ("{ codes = [\"bad row\"] }", "A-Z"),
        ("{ codes = [\"\"] }", "1 to"),
        ("{ codes = [\"a\"], texts = [] }", "unknown field"),
    ] {
        refused("errors = \"full\"", &format!("errors = {value}"), &[says]);
    }
}

#[test]
fn what_a_failed_run_may_say_is_counted_in_bits() {
    assert_eq!(Errors::Full.bits(2), None);
    assert_eq!(Errors::None.bits(2), Some(0));
    let codes = |n: usize| {
        let code = |index: usize| format!("code-{index}").parse().unwrap();
        Errors::Codes((0..n).map(code).collect()).bits(2)
    };
    // 3 × (1 + 2³² + 2⁶⁴) messages and none: a little more than 2⁶⁵.
    assert_eq!(codes(1), Some(66));
    // 12 × …
    assert_eq!(codes(4), Some(68));
}
