//! What a workload may be called: what cargo takes as a package, rustc as a crate and a policy as
//! a component.

const LONGEST: usize = 64;

/// Names cargo, rustc or the SDK's dependencies have taken.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "libc",
    "loop",
    "macro",
    "match",
    "mc2-guest",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde-json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Says what is wrong with a name.
pub(super) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("it is empty".to_owned());
    }
    if name.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(wrong) = name.chars().find(|c| !allowed(*c)) {
        return Err(format!("{wrong:?} is not among a-z, 0-9 and -"));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("it does not begin with a letter".to_owned());
    }
    if name.ends_with('-') {
        return Err("it ends with -".to_owned());
    }
    if TAKEN.contains(&name) {
        return Err("Rust or cargo has another use for it".to_owned());
    }
    Ok(())
}
