//! How large a component may be in each direction.

/// The most a component may have of anything that costs the compiler time,
/// memory or stack.
///
/// They are generous: the SQL engine, a 110 MB component of 100,000 functions,
/// must pass. The compiling child's own memory and time limit do the rest.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Bytes of the whole component.
    pub component_bytes: u64,
    /// Functions with a body, over all modules.
    pub functions: u64,
    /// Bytes of one function's body.
    pub function_bytes: u64,
    /// Locals of one function.
    pub locals: u64,
    /// Blocks within blocks in one function.
    pub block_depth: u64,
    /// Core modules.
    pub modules: u64,
    /// Components within the component.
    pub components: u64,
    /// How deep components and modules are nested.
    pub nesting: u64,
    /// Types, over all modules and components.
    pub types: u64,
    /// Tables, over all modules.
    pub tables: u64,
    /// Memories, over all modules.
    pub memories: u64,
    /// Globals, over all modules.
    pub globals: u64,
    /// Imports, exports, aliases, instances, element and data segments together.
    pub items: u64,
}

impl Caps {
    /// The caps the runtime applies.
    pub const DEFAULT: Self = Self {
        component_bytes: 256 << 20,
        functions: 500_000,
        function_bytes: 4 << 20,
        locals: 50_000,
        block_depth: 16_384,
        modules: 64,
        components: 256,
        nesting: 16,
        types: 1_000_000,
        tables: 64,
        memories: 16,
        globals: 100_000,
        items: 2_000_000,
    };

    pub(crate) fn description(&self) -> String {
        let Self {
            component_bytes,
            functions,
            function_bytes,
            locals,
            block_depth,
            modules,
            components,
            nesting,
            types,
            tables,
            memories,
            globals,
            items,
        } = self;
        format!(
            "caps = component-bytes:{component_bytes} functions:{functions} \
             function-bytes:{function_bytes} locals:{locals} block-depth:{block_depth} \
             modules:{modules} components:{components} nesting:{nesting} types:{types} \
             tables:{tables} memories:{memories} globals:{globals} items:{items}\n"
        )
    }
}
