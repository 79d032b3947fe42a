//! The look at a component before the compiler sees it.
//!
//! Cranelift can be neither cancelled nor bounded from inside, and Wasmtime
//! counts slow compilation as no fault of its own. So a parser's pass first
//! refuses what is not a component, what is too large in any one direction, and
//! what asks for an import the sandbox does not have. It allocates nothing that
//! grows with the component.

use wasmparser::{ComponentTypeRef, Encoding, FunctionBody, Operator, Parser, Payload};

use crate::hex::hex;
use crate::limits::Caps;

/// What the sandbox does not accept as a program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// Neither a component nor anything else known.
    #[error(
        "this is not a WebAssembly component: it starts with {found}, where a component starts with `\\0asm` and version 13, layer 1"
    )]
    NotWasm {
        /// The first bytes, in hexadecimal.
        found: String,
    },
    /// A core module.
    #[error(
        "this is a core module; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Native code: a `.cwasm`, or any other ELF file.
    #[error(
        "this is native code (an ELF file, such as a `.cwasm`); native code is never accepted: give the .wasm component itself"
    )]
    NativeCode,
    /// The bytes do not parse.
    #[error("the component is malformed: {0}")]
    Malformed(String),
    /// One of the caps is exceeded.
    #[error("the component has {found} {what}, more than the {cap} that are accepted")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How much of it was found before counting stopped.
        found: u64,
        /// The cap.
        cap: u64,
    },
    /// Imports the sandbox does not offer.
    #[error(
        "the component imports {0}, which the sandbox does not have; it offers WASI 0.2 without sockets and without HTTP"
    )]
    UnknownImports(String),
    /// No `wasi:cli/run` to call.
    #[error(
        "the component does not export `wasi:cli/run`; build it as a command: a program with a `main`"
    )]
    NotACommand,
}

/// Refuses by the first bytes what is no component at all. Cheap enough to be
/// done even where the compiled code is in the cache.
pub(super) fn check_kind(bytes: &[u8]) -> Result<(), Refusal> {
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    if bytes.starts_with(COMPONENT) {
        return Ok(());
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(Refusal::NativeCode);
    }
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(Refusal::CoreModule);
    }
    if bytes.is_empty() {
        return Err(Refusal::NotWasm {
            found: "nothing (the file is empty)".to_owned(),
        });
    }
    Err(Refusal::NotWasm {
        found: hex(&bytes[..bytes.len().min(8)]),
    })
}

/// The whole pass: caps, imports and the export that is called.
pub(super) fn check(bytes: &[u8], caps: &Caps) -> Result<(), Refusal> {
    check_kind(bytes)?;
    Inspection::new(caps).run(bytes)
}

struct Inspection<'c> {
    caps: &'c Caps,
    depth: u64,
    functions: u64,
    modules: u64,
    components: u64,
    types: u64,
    tables: u64,
    memories: u64,
    globals: u64,
    items: u64,
    unknown_imports: Vec<String>,
    is_command: bool,
}

impl<'c> Inspection<'c> {
    fn new(caps: &'c Caps) -> Self {
        Self {
            caps,
            depth: 0,
            functions: 0,
            modules: 0,
            components: 0,
            types: 0,
            tables: 0,
            memories: 0,
            globals: 0,
            items: 0,
            unknown_imports: Vec::new(),
            is_command: false,
        }
    }

    fn run(mut self, bytes: &[u8]) -> Result<(), Refusal> {
        at_most("bytes", bytes.len() as u64, self.caps.component_bytes)?;
        for payload in Parser::new(0).parse_all(bytes) {
            self.payload(payload.map_err(malformed)?)?;
        }
        if !self.unknown_imports.is_empty() {
            return Err(Refusal::UnknownImports(self.unknown_imports.join(", ")));
        }
        if !self.is_command {
            return Err(Refusal::NotACommand);
        }
        Ok(())
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        let caps = self.caps;
        match payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                at_most("levels of nesting", self.depth, caps.nesting)?;
                match encoding {
                    Encoding::Module => add("core modules", &mut self.modules, 1, caps.modules)?,
                    Encoding::Component => {
                        add(
                            "nested components",
                            &mut self.components,
                            1,
                            caps.components,
                        )?;
                    }
                }
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::TypeSection(s) => self.types(s.count())?,
            Payload::CoreTypeSection(s) => self.types(s.count())?,
            Payload::ComponentTypeSection(s) => self.types(s.count())?,
            Payload::FunctionSection(s) => {
                add("functions", &mut self.functions, s.count(), caps.functions)?;
            }
            Payload::TableSection(s) => add("tables", &mut self.tables, s.count(), caps.tables)?,
            Payload::MemorySection(s) => {
                add("memories", &mut self.memories, s.count(), caps.memories)?;
            }
            Payload::GlobalSection(s) => {
                add("globals", &mut self.globals, s.count(), caps.globals)?;
            }
            Payload::ImportSection(s) => self.items(s.count())?,
            Payload::ExportSection(s) => self.items(s.count())?,
            Payload::ElementSection(s) => self.items(s.count())?,
            Payload::DataSection(s) => self.items(s.count())?,
            Payload::InstanceSection(s) => self.items(s.count())?,
            Payload::ComponentInstanceSection(s) => self.items(s.count())?,
            Payload::ComponentAliasSection(s) => self.items(s.count())?,
            Payload::ComponentCanonicalSection(s) => self.items(s.count())?,
            Payload::ComponentImportSection(section) => {
                self.items(section.count())?;
                if self.depth == 1 {
                    for import in section {
                        let import = import.map_err(malformed)?;
                        self.import(import.name.name, import.ty);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                self.items(section.count())?;
                if self.depth == 1 {
                    for export in section {
                        let name = export.map_err(malformed)?.name.name;
                        self.is_command |= name.starts_with("wasi:cli/run@0.2.");
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.function(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn types(&mut self, count: u32) -> Result<(), Refusal> {
        add("types", &mut self.types, count, self.caps.types)
    }

    fn items(&mut self, count: u32) -> Result<(), Refusal> {
        add(
            "imports, exports and segments",
            &mut self.items,
            count,
            self.caps.items,
        )
    }

    fn import(&mut self, name: &str, ty: ComponentTypeRef) {
        let offered = matches!(ty, ComponentTypeRef::Instance(_)) && crate::wasi::offers(name);
        // Enough to say what is wrong; a component with more is not helped by more.
        if !offered && self.unknown_imports.len() < 16 {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
            self.unknown_imports.push(format!("`{shown}`"));
        }
    }

    fn function(&self, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let range = body.range();
        at_most(
            "bytes in one function",
            (range.end - range.start) as u64,
            self.caps.function_bytes,
        )?;
        let mut locals = 0u64;
        for group in body.get_locals_reader().map_err(malformed)? {
            locals += u64::from(group.map_err(malformed)?.0);
            at_most("locals in one function", locals, self.caps.locals)?;
        }
        let mut depth = 0u64;
        let mut operators = body.get_operators_reader().map_err(malformed)?;
        while !operators.eof() {
            match operators.read().map_err(malformed)? {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. } => {
                    depth += 1;
                    at_most("blocks within blocks", depth, self.caps.block_depth)?;
                }
                Operator::End => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }
}

fn add(what: &'static str, total: &mut u64, count: u32, cap: u64) -> Result<(), Refusal> {
    *total += u64::from(count);
    at_most(what, *total, cap)
}

fn at_most(what: &'static str, found: u64, cap: u64) -> Result<(), Refusal> {
    if found > cap {
        return Err(Refusal::TooLarge { what, found, cap });
    }
    Ok(())
}

pub(super) fn malformed(error: wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = r#"
        (component
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    fn caps() -> Caps {
        Caps::DEFAULT
    }

    #[test]
    fn a_command_passes() {
        assert_eq!(check(&wasm(COMMAND), &caps()), Ok(()));
    }

    #[test]
    fn what_is_not_a_component_is_told_what_it_is() {
        assert_eq!(check(&wasm("(module)"), &caps()), Err(Refusal::CoreModule));
        assert_eq!(
            check(b"\x7fELF\x02\x01\x01", &caps()),
            Err(Refusal::NativeCode)
        );
        assert!(matches!(check(b"", &caps()), Err(Refusal::NotWasm { .. })));
        assert!(matches!(
            check(b"PK\x03\x04", &caps()),
            Err(Refusal::NotWasm { .. })
        ));
        assert_eq!(
            check(&wasm("(component)"), &caps()),
            Err(Refusal::NotACommand)
        );
        let mut cut = wasm(COMMAND);
        cut.truncate(cut.len() - 3);
        assert!(matches!(check(&cut, &caps()), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn an_import_the_sandbox_does_not_have_is_named() {
        let text = COMMAND.replacen(
            "(component",
            r#"(component (import "wasi:http/types@0.2.0" (instance)) (import "host:any/thing" (instance))
               (import "bare" (func)) (import "wasi:io/error@0.2.3" (instance))"#,
            1,
        );
        let Err(Refusal::UnknownImports(names)) = check(&wasm(&text), &caps()) else {
            panic!("accepted");
        };
        assert_eq!(names, "`wasi:http/types@0.2.0`, `host:any/thing`, `bare`");
    }

    #[test]
    fn a_compile_bomb_is_refused_by_the_cap_it_exceeds() {
        let caps = Caps {
            functions: 100,
            function_bytes: 1000,
            locals: 50,
            block_depth: 20,
            modules: 3,
            tables: 2,
            ..Caps::DEFAULT
        };
        let refused = |module: &str, times: usize| {
            let text = COMMAND.replacen(
                "(component",
                &format!("(component {}", module.repeat(times)),
                1,
            );
            match check(&wasm(&text), &caps) {
                Err(Refusal::TooLarge { what, .. }) => what,
                other => panic!("{other:?}"),
            }
        };
        let function = |body: &str| format!("(core module (func {body}))");
        assert_eq!(
            refused(&format!("(core module {})", "(func)".repeat(101)), 1),
            "functions"
        );
        assert_eq!(
            refused(&function(&"nop ".repeat(1001)), 1),
            "bytes in one function"
        );
        assert_eq!(
            refused(&function(&format!("(local {})", "i32 ".repeat(51))), 1),
            "locals in one function"
        );
        assert_eq!(
            refused(
                &function(&format!("{}{}", "(block ".repeat(21), ")".repeat(21))),
                1
            ),
            "blocks within blocks"
        );
        assert_eq!(refused("(core module)", 4), "core modules");
        assert_eq!(
            refused("(core module (table 1 funcref) (table 1 funcref))", 2),
            "tables"
        );
        let small = Caps {
            component_bytes: 10,
            ..Caps::DEFAULT
        };
        assert!(matches!(
            check(&wasm(COMMAND), &small),
            Err(Refusal::TooLarge { what: "bytes", .. })
        ));
    }
}
