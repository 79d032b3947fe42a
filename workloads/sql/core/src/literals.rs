//! Numbers in a query's text.

/// Whether the engine keeps a number's digits: as an integer of 64 bits, or as the floating point that is
/// written with them.
pub fn is_kept(text: &str) -> bool {
    if text.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(float) = text.parse::<f64>() else {
        // The engine says so itself.
        return true;
    };
    !float.is_finite() || digits(text) == digits(&format!("{float:e}"))
}

/// The digits before an exponent without those that only say how large it is.
fn digits(text: &str) -> String {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let all: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    all.trim_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_floating_point_drops_are_seen() {
        for text in [
            "0",
            "1.50",
            "0.1",
            ".5",
            "5.",
            "1e300",
            "1e400",
            "18446744073709551615",
            "100000000000000000000",
            "0.1234567890123456",
            "12345678.87654321",
            "0.30000000000000004",
            "000.10",
        ] {
            assert!(is_kept(text), "{text}");
        }
        for text in [
            "18446744073709551617",
            "99999999999999999999.5",
            "0.1000000000000000055",
            "9007199254740993.5",
        ] {
            assert!(!is_kept(text), "{text}");
        }
    }
}
