//! Hostile bytes: an error, never a panic.

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_a_policy_or_an_error(text in "\\PC{0,400}") {
        let _ = Policy::parse(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_a_policy_or_an_error(bytes: Vec<u8>) {
        let _ = Policy::parse(&bytes);
    }

    #[test]
    fn a_policy_with_text_spliced_in_is_a_policy_or_an_error(
        at in 0usize..6000,
        length in 0usize..40,
        piece in "[\\[\\]{}\"=., a-z0-9\\n$:/-]{0,12}",
    ) {
        let text = two_banks();
        let start = at.min(text.len());
        let end = (start + length).min(text.len());
        let spliced = format!("{}{piece}{}", &text[..start], &text[end..]);
        if let Ok(policy) = Policy::parse(spliced.as_bytes()) {
            prop_assert_eq!(*policy.digest(), Digest::of(spliced.as_bytes()));
        }
    }

    #[test]
    fn a_policy_with_a_value_replaced_is_a_policy_or_an_error(
        line in 0usize..60,
        value in prop::sample::select(vec![
            "1", "-1", "1.5", "true", "\"x\"", "[]", "{}", "[[]]", "[{}]", "1979-05-27", "inf",
            "[1, 2]", "{ a = 1 }", "\"any\"", "\"\"",
        ]),
    ) {
        let text = two_banks();
        let lines = text.lines().enumerate().map(|(index, content)| {
            match content.split_once(" = ") {
                Some((key, _)) if index == line => format!("{key} = {value}"),
                _ => content.to_owned(),
            }
        });
        let replaced: Vec<String> = lines.collect();
        let _ = Policy::parse(replaced.join("\n").as_bytes());
    }
}
