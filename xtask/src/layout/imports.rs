//! What a module takes from others, as it writes it.

use super::tokens::Token;

/// What a module says of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Imports {
    /// Names that stand in the module by a `use`, with whole paths.
    pub(super) names: Vec<Import>,
    /// Whole paths written where something is used, or imported other than to hand it on.
    pub(super) taken: Vec<Vec<String>>,
}

/// One name that a `use` brings in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) path: Vec<String>,
}

/// Reads the imports of the module `path`, of which the files `children` stand below it.
pub(super) fn read(tokens: &[Token], path: &[String], children: &[String]) -> Imports {
    let mut reader = Reader {
        tokens,
        at: 0,
        inline: Vec::new(),
        depth: 0,
        path,
        children,
        imports: Imports::default(),
    };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.imports
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The modules written out here that this place is in, and the depth of braces of each.
    inline: Vec<(String, usize)>,
    depth: usize,
    path: &'a [String],
    children: &'a [String],
    imports: Imports,
}

impl Reader<'_> {
    fn step(&mut self) {
        match &self.tokens[self.at..] {
            [Token::Word(word), Token::Word(name), Token::Mark('{'), ..] if word == "mod" => {
                self.depth += 1;
                self.inline.push((name.clone(), self.depth));
                self.at += 3;
            }
            [Token::Word(word), ..] if word == "use" => {
                let handed_on = self.at > 0 && self.is_visibility(self.at - 1);
                self.at += 1;
                if self.tokens.get(self.at) == Some(&Token::Path) {
                    self.at += 1; // Of another crate, but harmless to read.
                }
                self.tree(&mut Vec::new(), handed_on);
            }
            [Token::Word(_), Token::Path, ..] if self.begins_a_path() => self.path(),
            [Token::Mark('{'), ..] => {
                self.depth += 1;
                self.at += 1;
            }
            [Token::Mark('}'), ..] => {
                if self
                    .inline
                    .last()
                    .is_some_and(|(_, depth)| *depth == self.depth)
                {
                    self.inline.pop();
                }
                self.depth = self.depth.saturating_sub(1);
                self.at += 1;
            }
            _ => self.at += 1,
        }
    }

    /// `pub`, or the end of `pub(…)`.
    fn is_visibility(&self, at: usize) -> bool {
        let before = self.tokens[..=at].rsplit(|token| token.is('(')).nth(1);
        match &self.tokens[at] {
            Token::Word(word) => word == "pub",
            Token::Mark(')') => {
                before.is_some_and(|before| before.last().and_then(Token::word) == Some("pub"))
            }
            _ => false,
        }
    }

    fn begins_a_path(&self) -> bool {
        let before = self.at.checked_sub(1).map(|before| &self.tokens[before]);
        before.is_none_or(|before| *before != Token::Path && !before.is('.'))
    }

    /// A path where something is used; only what begins at a module of this crate counts.
    fn path(&mut self) {
        let mut segments = Vec::new();
        while let Some(word) = self.tokens.get(self.at).and_then(Token::word) {
            segments.push(word.to_owned());
            self.at += 1;
            if self.tokens.get(self.at) != Some(&Token::Path) {
                break;
            }
            self.at += 1;
        }
        self.imports.taken.extend(self.whole(&segments));
    }

    /// A tree of `use`, of which `prefix` has been read.
    fn tree(&mut self, prefix: &mut Vec<String>, handed_on: bool) {
        let length = prefix.len();
        loop {
            match self.tokens.get(self.at) {
                Some(Token::Word(word)) if word == "as" => {
                    let name = self.tokens.get(self.at + 1).and_then(Token::word);
                    let name = name.unwrap_or("_").to_owned();
                    self.at += 2;
                    self.import(prefix, name, handed_on);
                    break;
                }
                Some(Token::Word(word)) => {
                    prefix.push(word.clone());
                    self.at += 1;
                    let next = self.tokens.get(self.at);
                    if next == Some(&Token::Path) {
                        self.at += 1;
                    } else if next.and_then(Token::word) != Some("as") {
                        let name = word.clone();
                        self.import(prefix, name, handed_on);
                        break;
                    }
                }
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while self.tokens.get(self.at).is_some_and(|token| !token.is('}')) {
                        self.tree(prefix, handed_on);
                        if self.tokens.get(self.at).is_some_and(|token| token.is(',')) {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    break;
                }
                Some(Token::Mark('*')) => {
                    self.at += 1;
                    self.import(prefix, "*".to_owned(), handed_on);
                    break;
                }
                _ => {
                    self.at += 1;
                    break;
                }
            }
        }
        prefix.truncate(length);
    }

    fn import(&mut self, path: &[String], name: String, handed_on: bool) {
        // `use a::{self}` is `use a`.
        let (path, name) = match path {
            [before @ .., last] if last == "self" && !before.is_empty() => {
                let own = before.last().cloned().unwrap_or_default();
                (before, if name == "self" { own } else { name })
            }
            _ => (path, name),
        };
        let Some(path) = self.whole(path) else { return };
        if !handed_on {
            self.imports.taken.push(path.clone());
        }
        if self.inline.is_empty() {
            self.imports.names.push(Import { name, path });
        }
    }

    /// The path from the crate's root; `None` where it leads out of the crate, or nowhere yet.
    fn whole(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, mut rest) = path.split_first()?;
        let inline = self.inline.iter().map(|(name, _)| name);
        let mut here: Vec<String> = self.path.iter().chain(inline).cloned().collect();
        match first.as_str() {
            "crate" => here.clear(),
            "self" => {}
            "super" => {
                here.pop();
                while let Some((next, more)) = rest.split_first()
                    && next == "super"
                {
                    here.pop();
                    rest = more;
                }
            }
            child if self.inline.is_empty() && self.children.iter().any(|one| one == child) => {
                rest = path;
            }
            _ => return None,
        }
        here.extend(rest.iter().cloned());
        Some(here)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tokens, Imports, read};

    fn imports(text: &str) -> Imports {
        let path = ["a".to_owned(), "b".to_owned()];
        read(&tokens::read(text).tokens, &path, &["child".to_owned()])
    }

    fn taken(text: &str) -> Vec<String> {
        let taken = imports(text).taken;
        taken.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn a_tree_of_uses_is_read_to_its_leaves() {
        let text = "use crate::{x::{self, Y, z::*}, W as V}; use super::Q; use std::fs;";
        assert_eq!(taken(text), ["x", "x::Y", "x::z", "W", "a::Q"]);
        let names = imports(text).names;
        let names: Vec<&str> = names.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["x", "Y", "*", "V", "Q"]);
    }

    #[test]
    fn what_is_only_handed_on_is_not_taken() {
        let text = "pub use child::A; pub(crate) use child::B; use child::C; f(child::d());";
        assert_eq!(taken(text), ["a::b::child::C", "a::b::child::d"]);
        assert_eq!(imports(text).names.len(), 3);
    }

    #[test]
    fn a_path_counts_where_it_is_used() {
        let text = "fn f(x: crate::y::Z) { super::g(); other::crate_(); x.child::<u8>() }";
        assert_eq!(taken(text), ["y::Z", "a::g"]);
    }

    #[test]
    fn a_module_written_out_has_its_own_super() {
        let text = "mod inner { use super::X; fn f() {} } use super::Y;";
        assert_eq!(taken(text), ["a::b::X", "a::Y"]);
    }
}
