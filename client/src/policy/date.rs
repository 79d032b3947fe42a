//! A policy's date, for people.

const DAY: u64 = 24 * 60 * 60;
/// 9999-12-31T23:59:59Z.
const LAST: u64 = 253_402_300_799;

/// `2026-12-31T00:00:00Z` of seconds since 1970; times after the year 9999 are written as its last
/// second.
///
/// ```
/// use mc2_client::policy::rfc3339;
///
/// assert_eq!(rfc3339(1_798_675_200), "2026-12-31T00:00:00Z");
/// ```
pub fn rfc3339(unix_seconds: u64) -> String {
    let seconds = unix_seconds.min(LAST);
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let mut day = days;
    let mut year = 1970;
    while day >= days_in_year(year) {
        day -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while day >= days_in_month(year, month) {
        day -= days_in_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        day + 1
    )
}

const fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_people_write_it() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-12-31T00:00:00Z", 1_798_675_200),
            ("9999-12-31T23:59:59Z", LAST),
            ("9999-12-31T23:59:59Z", u64::MAX),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_one_later_and_is_a_date() {
        let mut before = String::new();
        for day in 0..146_097 {
            let text = rfc3339(day * DAY + 3_723);
            let date: toml::value::Datetime = text.parse().unwrap();
            assert_eq!(date.to_string(), text);
            assert!(text > before, "{text} follows {before}");
            before = text;
        }
        // As many days as there are make up the centuries, so none was left out or said twice.
        assert_eq!(before, "2369-12-31T01:02:03Z");
    }
}
