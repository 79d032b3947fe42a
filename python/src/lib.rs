//! The native half of the Python package `mc2`: the client library's enclave
//! ([`mc2_client::enclave`]) as Python classes. It trusts what that trusts; what a person meets is
//! `mc2/` beside it, in Python. Start at [`enclave`].
//!
//! What `mc2` does with files is in [`files`], policies are in [`policy`].
//!
//! Python is let go while anything is waited for ([`waiting`]); errors become one class a cause
//! ([`raising`]); Arrow data goes in and out by the C stream interface ([`arrow`]), which is the one
//! place with `unsafe`.

#![deny(unsafe_code)]

mod arrow;
mod enclave;
mod files;
mod policy;
mod raising;
mod waiting;

use pyo3::prelude::*;

/// The native half of `mc2`.
#[pymodule]
fn _mc2(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<enclave::Enclave>()?;
    module.add_class::<enclave::Sealed>()?;
    module.add_class::<enclave::Component>()?;
    module.add_class::<enclave::Terms>()?;
    module.add_class::<arrow::Plain>()?;
    module.add_class::<policy::Policy>()?;
    module.add_class::<waiting::Stopper>()?;
    module.add_function(wrap_pyfunction!(files::keygen, module)?)?;
    module.add_function(wrap_pyfunction!(files::seal, module)?)?;
    module.add_function(wrap_pyfunction!(files::open, module)?)?;
    module.add_function(wrap_pyfunction!(files::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(files::verify, module)?)
}
