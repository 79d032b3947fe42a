//! Numbers as C writes them.

/// A number with at most `digits` significant digits, in the fewest characters: what C calls
/// `%.{digits}g`.
pub(crate) fn general(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..digits as i32).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent) as usize;
        return trimmed(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// A decimal without zeros that say nothing.
fn trimmed(decimal: &str) -> &str {
    if !decimal.contains('.') {
        return decimal;
    }
    decimal.trim_end_matches('0').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_c_writes_them() {
        for (value, digits, text) in [
            (f64::from(0.7_f32), 9, "0.699999988"),
            (f64::from(1.1_f32), 9, "1.10000002"),
            (1.0, 9, "1"),
            (0.1, 17, "0.10000000000000001"),
            (123_456_789_012.0, 9, "1.23456789e+11"),
            (0.000_012_5, 6, "1.25e-05"),
            (-250.0, 6, "-250"),
            (0.0, 6, "0"),
        ] {
            assert_eq!(general(value, digits), text);
        }
    }
}
