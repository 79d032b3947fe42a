//! Similar functions of a linked component are merged.
//!
//! A generic library such as Arrow is compiled once a type, and many of the copies differ in a few
//! constants. Binaryen's `wasm-opt` makes one of them and passes the constants; it also writes every
//! number of the code as short as it can be, where the linker leaves room. It knows no components,
//! so the largest core module is taken out, rewritten, and put back in its place. Everything else
//! in the component stays as it is to the byte.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use crate::process::{Doing, Failure, Outcome, run};
use crate::setup::binaryen::WasmOpt;

/// The magic number, version 13 of the format and the layer of components.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const CORE_MODULE: u8 = 1;
/// What the compiler may have used of Wasm, and no more.
const ARGUMENTS: [&str; 9] = [
    "--mvp-features",
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-multivalue",
    "--enable-reference-types",
    "--merge-similar-functions",
];

/// Writes the component at `linked` to `merged`, its largest core module rewritten.
pub(super) fn merge(tool: &WasmOpt, linked: &Path, merged: &Path) -> Outcome<()> {
    let bytes = fs::read(linked).doing(format_args!("reading {}", linked.display()))?;
    let section = largest_module(&bytes)
        .ok_or_else(|| Failure::new(format!("{} is no component with code", linked.display())))?;
    let [before, after] = ["module", "merged-module"].map(|end| merged.with_extension(end));
    fs::write(&before, &bytes[section.content.clone()])
        .doing(format_args!("writing {}", before.display()))?;
    run(Command::new(&tool.program)
        .args(ARGUMENTS)
        .arg(&before)
        .arg("--output")
        .arg(&after))?;
    let module = fs::read(&after).doing(format_args!("reading {}", after.display()))?;
    let whole = replaced(&bytes, &section, &module);
    fs::write(merged, whole).doing(format_args!("writing {}", merged.display()))?;
    for file in [before, after] {
        fs::remove_file(&file).doing(format_args!("removing {}", file.display()))?;
    }
    Ok(())
}

/// A section by its places in the component.
struct Section {
    whole: Range<usize>,
    content: Range<usize>,
}

/// The largest core module directly in the component; none where the bytes are no component.
fn largest_module(bytes: &[u8]) -> Option<Section> {
    let mut at = bytes.starts_with(&COMPONENT).then_some(COMPONENT.len())?;
    let mut largest: Option<Section> = None;
    while at < bytes.len() {
        let start = at;
        let id = bytes[at];
        at += 1;
        let length = number(bytes, &mut at)?;
        let end = at.checked_add(length).filter(|end| *end <= bytes.len())?;
        let larger = largest
            .as_ref()
            .is_none_or(|section| section.content.len() < length);
        if id == CORE_MODULE && larger {
            largest = Some(Section {
                whole: start..end,
                content: at..end,
            });
        }
        at = end;
    }
    largest
}

/// The component with another core module in the section's place.
fn replaced(bytes: &[u8], section: &Section, module: &[u8]) -> Vec<u8> {
    let mut whole = bytes[..section.whole.start].to_vec();
    whole.push(CORE_MODULE);
    put_number(&mut whole, module.len());
    whole.extend_from_slice(module);
    whole.extend_from_slice(&bytes[section.whole.end..]);
    whole
}

/// Reads an unsigned LEB128 of at most 32 bits.
fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return usize::try_from(value).ok();
        }
    }
    None
}

fn put_number(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits fit in a byte");
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = COMPONENT.to_vec();
        for (id, content) in sections {
            bytes.push(*id);
            put_number(&mut bytes, content.len());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    #[test]
    fn the_largest_module_is_replaced_and_nothing_else_changes() {
        let long = [7; 300];
        let bytes = component(&[
            (0, b"name"),
            (1, b"small"),
            (1, &long),
            (8, b"rest"),
            (1, b""),
        ]);
        let section = largest_module(&bytes).unwrap();
        assert_eq!(bytes[section.content.clone()], long);
        assert_eq!(replaced(&bytes, &section, &long), bytes);
        assert_eq!(
            replaced(&bytes, &section, b"new"),
            component(&[
                (0, b"name"),
                (1, b"small"),
                (1, b"new"),
                (8, b"rest"),
                (1, b"")
            ]),
        );
    }

    #[test]
    fn what_is_no_whole_component_with_code_has_no_module() {
        let bytes = component(&[(1, &[7; 300])]);
        for end in 0..bytes.len() {
            assert!(largest_module(&bytes[..end]).is_none(), "{end}");
        }
        assert!(largest_module(&component(&[(0, b"name")])).is_none());
        let module = [b"\0asm\x01\0\0\0".as_slice(), &bytes[8..]].concat();
        assert!(largest_module(&module).is_none());
        let endless = [COMPONENT.as_slice(), b"\x01\xff\xff\xff\xff\xff\x01"].concat();
        assert!(largest_module(&endless).is_none());
    }
}
