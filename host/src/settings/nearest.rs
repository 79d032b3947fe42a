//! What may have been meant by a name that is none.

/// The name that takes the fewest letters changed, added or left away to come from `found`, if
/// that is at most a third of it.
pub(super) fn nearest(found: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let letters: Vec<char> = found.to_lowercase().chars().take(64).collect();
    let distances = names.map(|name| {
        let known: Vec<char> = name.to_lowercase().chars().collect();
        (distance(&letters, &known), name)
    });
    let (distance, name) = distances.min()?;
    (distance * 3 <= letters.len()).then_some(name)
}

/// Levenshtein's distance.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_near_is_named() {
        let names = || {
            ["folder", "listen", "max_runtimes"]
                .into_iter()
                .map(String::from)
        };
        let near = |found| nearest(found, names());
        assert_eq!(near("fodler").as_deref(), Some("folder"));
        assert_eq!(near("max-runtime").as_deref(), Some("max_runtimes"));
        assert_eq!(near("LISTEN").as_deref(), Some("listen"));
        assert_eq!(near("storage"), None);
        assert_eq!(near(""), None);
    }
}
