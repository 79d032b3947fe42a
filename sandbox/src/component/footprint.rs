//! What Wasmtime allocates for the instances of a component beside memories and tables.
//!
//! Each instance of a core module has room for its globals and its functions, and for what it
//! imports; a component may instantiate its modules, and components within it, as often as it
//! likes. None of that passes the limiter, so it is added up from the component's text, and every
//! instance of a run has it taken from the run's memory. The sizes are those of Wasmtime's own
//! structures on 64-bit machines or a little more, and all modules count as the largest.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, ElementItems, ElementKind, Encoding, Instance, Parser, Payload,
};

use super::inspect::{Refusal, malformed};

/// The most that may be taken, in bytes.
const MOST: u64 = 64 << 20;

/// An instance of a core module with nothing in it.
const INSTANCE: u64 = 1024;
/// A function that may be referred to.
const FUNCTION: u64 = 32;
/// Anything imported, and what refers to it.
const IMPORT: u64 = 64;
/// A global, or an element of a passive segment.
const VALUE: u64 = 16;
/// A table, a memory or a passive segment, without what is in it.
const HOLDER: u64 = 256;
/// Anything a component defines, lifts, lowers or aliases.
const ITEM: u64 = 64;

/// Bytes for all instances of the component.
///
/// # Errors
/// [`Refusal::TooLarge`] where that is more than any component needs, which is also said where it
/// cannot be known because a component instantiates what it is given.
pub(super) fn of(bytes: &[u8]) -> Result<u64, Refusal> {
    let mut reading = Reading::default();
    for payload in Parser::new(0).parse_all(bytes) {
        reading.payload(payload.map_err(malformed)?)?;
    }
    let largest = reading.largest_module;
    let found = reading
        .whole
        .instances
        .saturating_mul(largest)
        .saturating_add(reading.whole.items);
    if found > MOST {
        return Err(Refusal::TooLarge {
            what: "bytes of functions and globals in all its instances",
            found,
            cap: MOST,
        });
    }
    Ok(found)
}

#[derive(Default)]
struct Reading {
    /// The components around this place, the outermost first.
    components: Vec<Level>,
    /// The core module being read.
    module: Option<u64>,
    largest_module: u64,
    whole: Cost,
}

#[derive(Default)]
struct Level {
    own: Cost,
    /// The components that can be instantiated here, by index.
    known: Vec<Cost>,
}

/// What one instance of a component comes to.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Instances of core modules.
    instances: u64,
    /// Bytes of its own.
    items: u64,
}

/// Of a component that comes from elsewhere nothing is known.
const UNKNOWN: Cost = Cost {
    instances: u64::MAX,
    items: u64::MAX,
};

impl Cost {
    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.items = self.items.saturating_add(other.items);
    }
}

impl Reading {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => self.module = Some(INSTANCE),
            Payload::Version {
                encoding: Encoding::Component,
                ..
            } => self.components.push(Level::default()),
            Payload::End(_) => self.end(),
            Payload::ImportSection(section) => self.module(section.count(), IMPORT),
            Payload::FunctionSection(section) => self.module(section.count(), FUNCTION),
            Payload::GlobalSection(section) => self.module(section.count(), VALUE),
            Payload::DataSection(section) => self.module(section.count(), VALUE),
            Payload::TableSection(section) => self.module(section.count(), HOLDER),
            Payload::MemorySection(section) => self.module(section.count(), HOLDER),
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element.map_err(malformed)?;
                    if matches!(element.kind, ElementKind::Active { .. }) {
                        continue;
                    }
                    let values = match element.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    self.module(1, HOLDER);
                    self.module(values, VALUE);
                }
            }
            Payload::InstanceSection(section) => {
                self.items(section.count());
                for instance in section {
                    if let Instance::Instantiate { .. } = instance.map_err(malformed)? {
                        self.own(Cost {
                            instances: 1,
                            items: 0,
                        });
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                self.items(section.count());
                for instance in section {
                    let instance = instance.map_err(malformed)?;
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance
                    {
                        self.own(self.known(component_index));
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                self.items(section.count());
                for alias in section {
                    if is_component(&alias.map_err(malformed)?) {
                        self.define(UNKNOWN);
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                self.items(section.count());
                for import in section {
                    let import = import.map_err(malformed)?;
                    if let ComponentTypeRef::Component(_) = import.ty {
                        self.define(UNKNOWN);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                self.items(section.count());
                for export in section {
                    let export = export.map_err(malformed)?;
                    // What is exported can be instantiated under its new index too.
                    if export.kind == ComponentExternalKind::Component {
                        self.define(self.known(export.index));
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => self.items(section.count()),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        if let Some(module) = self.module.take() {
            self.largest_module = self.largest_module.max(module);
        } else if let Some(level) = self.components.pop() {
            self.whole = level.own;
            self.define(level.own);
        }
    }

    fn module(&mut self, count: u32, each: u64) {
        if let Some(module) = &mut self.module {
            *module = module.saturating_add(u64::from(count) * each);
        }
    }

    fn items(&mut self, count: u32) {
        self.own(Cost {
            instances: 0,
            items: u64::from(count) * ITEM,
        });
    }

    fn own(&mut self, cost: Cost) {
        if let Some(level) = self.components.last_mut() {
            level.own.add(cost);
        }
    }

    fn define(&mut self, cost: Cost) {
        if let Some(level) = self.components.last_mut() {
            level.known.push(cost);
        }
    }

    fn known(&self, index: u32) -> Cost {
        let level = self.components.last();
        level
            .and_then(|level| level.known.get(index as usize))
            .copied()
            .unwrap_or(UNKNOWN)
    }
}

fn is_component(alias: &ComponentAlias<'_>) -> bool {
    matches!(
        alias,
        ComponentAlias::InstanceExport {
            kind: ComponentExternalKind::Component,
            ..
        } | ComponentAlias::Outer {
            kind: ComponentOuterAliasKind::Component,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(text: &str) -> Result<u64, Refusal> {
        of(&wat::parse_str(text).unwrap())
    }

    fn functions(count: usize, instances: usize) -> String {
        let functions = "(func)".repeat(count);
        let instances = "(core instance (instantiate $m))".repeat(instances);
        format!("(component (core module $m {functions}) {instances})")
    }

    #[test]
    fn functions_count_in_every_instance() {
        let one = footprint(&functions(1000, 1)).unwrap();
        assert_eq!(one, INSTANCE + 1000 * FUNCTION + ITEM);
        assert_eq!(footprint(&functions(1000, 20)).unwrap(), 20 * one);
        assert_eq!(footprint("(component)").unwrap(), 0);
    }

    #[test]
    fn globals_imports_and_passive_elements_count() {
        let with = |what: &str| {
            let text = format!(
                "(component (core module $m {what} (func $f)) (core instance (instantiate $m)))"
            );
            footprint(&text).unwrap()
        };
        let without = with("");
        assert_eq!(
            with(&"(global i32 (i32.const 0))".repeat(9)),
            without + 9 * VALUE
        );
        let elements = format!("(elem func {})", "$f ".repeat(100));
        assert_eq!(with(&elements), without + HOLDER + 100 * VALUE);
    }

    #[test]
    fn components_within_components_multiply() {
        let inner = functions(1000, 4).replacen("(component", "(component $c", 1);
        let twice =
            format!("(component {inner} (instance (instantiate $c)) (instance (instantiate $c)))");
        let one = footprint(&functions(1000, 4)).unwrap();
        assert_eq!(footprint(&twice).unwrap(), 2 * one + 2 * ITEM);
    }

    #[test]
    fn more_than_any_component_needs_is_refused() {
        let refused = |text: &str| matches!(footprint(text), Err(Refusal::TooLarge { .. }));
        assert!(refused(&functions(10_000, 256)));
        // Eight levels of ten instances each.
        let mut nested = functions(1, 10).replacen("(component", "(component $c0", 1);
        for level in 1..8 {
            let instances = format!("(instance (instantiate $c{}))", level - 1).repeat(10);
            nested = format!("(component $c{level} {nested} {instances})");
        }
        assert!(refused(&nested));
    }

    #[test]
    fn what_is_given_from_outside_is_not_instantiated() {
        let text = r#"(component
            (component $outer
                (import "given" (component $given))
                (instance (instantiate $given)))
            (component $empty)
            (instance (instantiate $outer (with "given" (component $empty)))))"#;
        assert!(matches!(footprint(text), Err(Refusal::TooLarge { .. })));
    }
}
