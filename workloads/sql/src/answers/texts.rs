//! `concat` of texts that are all empty.
//!
//! The engine drops what is empty while it plans, and then has a call of no arguments, which it calls an error.

use datafusion::{
    arrow::datatypes::DataType,
    error::Result,
    functions::string::concat::ConcatFunc,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature},
};

/// The engine's function, and never another in its place.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Concat {
    engine: ConcatFunc,
}

impl ScalarUDFImpl for Concat {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.engine.coerce_types(given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.engine.return_type(given)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.engine.invoke_with_args(args)
    }
}
