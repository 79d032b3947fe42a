//! Categories: texts and the codes they stand for.

use std::collections::HashMap;

use crate::data::{Categories, columns::Interner};

/// Most categories a feature may have. Each has a bin, and bins are kept in two bytes, where one
/// number is needed for what is missing.
pub(crate) const MAX_CATEGORIES: usize = 65_535;

/// Codes of one feature's texts.
#[derive(Debug)]
pub(super) struct Recoder {
    texts: HashMap<String, u32>,
    numbers: HashMap<i64, u32>,
    /// By the interner's numbers, as far as they were asked for; `None` for a text that is no
    /// category.
    codes: Vec<Option<u32>>,
}

impl Recoder {
    /// The codes that `categories` have.
    pub(super) fn new(categories: &Categories) -> Self {
        let (mut texts, mut numbers) = (HashMap::new(), HashMap::new());
        match categories {
            Categories::Text(names) => texts.extend(names.iter().cloned().zip(0..)),
            Categories::Int(names) => numbers.extend(names.iter().copied().zip(0..)),
        }
        Self {
            texts,
            numbers,
            codes: Vec::new(),
        }
    }

    /// Takes note of what `names` has learned.
    pub(super) fn learn(&mut self, names: &Interner) {
        for name in names.names().iter().skip(self.codes.len()) {
            let number = || self.numbers.get(&whole(name)?);
            let code = self.texts.get(&**name).or_else(number).copied();
            self.codes.push(code);
        }
    }

    /// The code of the interner's text `id`.
    pub(super) fn code(&self, id: u32) -> Option<u32> {
        self.codes.get(id as usize).copied().flatten()
    }
}

/// The categories that texts make, in their order: whole numbers by value where all are and none
/// is `typed` as text, else by bytes, as Python sorts `str`.
pub(super) fn sorted(names: &Interner, typed: bool) -> Categories {
    let numbers: Option<Vec<i64>> = names.names().iter().map(|name| whole(name)).collect();
    match numbers {
        Some(mut numbers) if !typed => {
            numbers.sort_unstable();
            numbers.dedup();
            Categories::Int(numbers)
        }
        _ => {
            let mut texts: Vec<String> = names
                .names()
                .iter()
                .map(|name| String::from(&**name))
                .collect();
            texts.sort_unstable();
            Categories::Text(texts)
        }
    }
}

/// The whole number a text is, if it is written as one is: `7`, or `7.0` as pandas writes it into
/// a column with missing values; but not `007`, which is a name.
fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_suffix(".0").unwrap_or(text);
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interner(names: &[&str]) -> Interner {
        let mut interner = Interner::default();
        for name in names {
            interner.id(name);
        }
        interner
    }

    #[test]
    fn whole_numbers_sort_by_value_and_texts_by_bytes() {
        assert_eq!(
            sorted(&interner(&["10", "9", "-1", "9.0"]), false),
            Categories::Int(vec![-1, 9, 10])
        );
        let texts = |names: &[&str]| {
            Categories::Text(names.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(sorted(&interner(&["10", "9"]), true), texts(&["10", "9"]));
        assert_eq!(
            sorted(&interner(&["b", "a", "10"]), false),
            texts(&["10", "a", "b"])
        );
        assert_eq!(sorted(&interner(&["01", "1"]), false), texts(&["01", "1"]));
    }

    #[test]
    fn a_text_that_is_no_category_has_no_code() {
        let mut recoder = Recoder::new(&Categories::Int(vec![3, 7]));
        let mut names = interner(&["7.0", "x"]);
        recoder.learn(&names);
        assert_eq!((recoder.code(0), recoder.code(1)), (Some(1), None));
        names.id("3");
        recoder.learn(&names);
        assert_eq!(recoder.code(2), Some(0));
    }
}
