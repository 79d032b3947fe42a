//! `mc2-compile`: makes native code of one component and ends. The runtime starts it, gives it the
//! component on standard input and takes the code from standard output; it is measured beside the
//! runtime, in which there is no compiler. Nobody else has a use for it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    mc2_sandbox::compile_child_main()
}
