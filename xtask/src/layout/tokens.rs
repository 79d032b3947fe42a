//! Rust's text as words and marks, without comments, literals and tests.
//!
//! Enough to read imports, no more: it need not know an expression from a type.

/// One word or one mark; `::` is a mark of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Path,
    Mark(char),
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Path | Self::Mark(_) => None,
        }
    }

    pub(super) fn is(&self, mark: char) -> bool {
        *self == Self::Mark(mark)
    }
}

/// What a file says outside its tests, and the modules it declares for tests alone.
pub(super) struct Code {
    pub(super) tokens: Vec<Token>,
    pub(super) tests: Vec<String>,
}

/// Reads a file.
pub(super) fn read(text: &str) -> Code {
    let all = tokens(text);
    let mut code = Code {
        tokens: Vec::new(),
        tests: Vec::new(),
    };
    let mut at = 0;
    while at < all.len() {
        if all[at..].starts_with(&cfg_test()) {
            let end = end_of_item(&all, at);
            let item = &all[at..end];
            if let [.., Token::Word(word), Token::Word(name), Token::Mark(';')] = item
                && word == "mod"
            {
                code.tests.push(name.clone());
            }
            at = end;
        } else {
            code.tokens.push(all[at].clone());
            at += 1;
        }
    }
    code
}

fn cfg_test() -> [Token; 7] {
    let word = |word: &str| Token::Word(word.to_owned());
    [
        Token::Mark('#'),
        Token::Mark('['),
        word("cfg"),
        Token::Mark('('),
        word("test"),
        Token::Mark(')'),
        Token::Mark(']'),
    ]
}

/// Behind the item whose attributes begin at `at`: its `;`, or the end of its braces.
fn end_of_item(all: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in all.iter().enumerate().skip(at) {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(mark @ (')' | ']' | '}')) => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *mark == '}' {
                    return index + 1;
                }
            }
            Token::Mark(';') if depth == 0 => return index + 1,
            _ => {}
        }
    }
    all.len()
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if rest.starts_with("::") {
            tokens.push(Token::Path);
            2
        } else if is_word(next) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..length].to_owned()));
            length
        } else {
            if !next.is_whitespace() {
                tokens.push(Token::Mark(next));
            }
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The length of a comment in `/* */`, which may hold others.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the string or character that `text` begins with; a lifetime is none.
fn literal(text: &str) -> Option<usize> {
    if let Some(rest) = text.strip_prefix('\'') {
        let mut inner = rest.chars();
        return match (inner.next()?, inner.next()?) {
            ('\\', _) => quoted(text, '\''),
            (one, '\'') => Some(one.len_utf8() + 2),
            _ => None,
        };
    }
    let (prefix, rest) = ["br", "cr", "r", "b", "c", ""]
        .into_iter()
        .find_map(|prefix| {
            let rest = text.strip_prefix(prefix)?;
            rest.starts_with(['"', '#']).then_some((prefix, rest))
        })?;
    if !prefix.ends_with('r') {
        return quoted(rest, '"').map(|length| prefix.len() + length);
    }
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if !rest[hashes..].starts_with('"') {
        return None; // A raw identifier.
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inner = &rest[hashes + 1..];
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(prefix.len() + hashes + 1 + length)
}

/// The length of what stands between two `quote`s, with both, where `text` begins with one.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut inner = text.strip_prefix(quote)?.char_indices();
    while let Some((at, c)) = inner.next() {
        if c == '\\' {
            inner.next();
        } else if c == quote {
            return Some(at + 2);
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::{Token, read};

    fn words(text: &str) -> String {
        let words = read(text).tokens;
        let words = words.iter().filter_map(Token::word);
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_words() {
        let text = r####"
            // crate::no
            /* crate::no /* nor this */ */
            a("crate::no \" still", b"x", r#"raw " crate::no"#, 'x', '\'', '"');
            b::<'static>(r"c:\", br##"x"# y"##); // 'c
            r#type
        "####;
        assert_eq!(words(text), "a b static r type");
    }

    #[test]
    fn what_is_for_tests_alone_is_left_out() {
        let text = "
            #[cfg(test)]
            mod tests;
            #[cfg(test)]
            #[allow(unused, reason = \"x\")]
            pub(crate) mod kit;
            #[cfg(test)]
            fn help(a: [u8; 2]) -> u8 { if a[0] > 1 { 1 } else { 2 } }
            #[cfg(test)]
            mod inside { use crate::no; }
            use crate::yes;
            #[cfg(feature = \"kit\")]
            mod more;
        ";
        assert_eq!(words(text), "use crate yes cfg feature mod more");
        assert_eq!(read(text).tests, ["tests", "kit"]);
    }
}
