//! `mc2-runtime-emulated DEVICES CODE` and then the arguments of `mc2-runtime`: the runtime with its
//! devices below the first folder, where a test emulates them. Compiled code is kept in the second as
//! it is, so that what takes long is compiled once for all enclaves; the session record says nothing
//! of that. NOT SECURE, and not for anything else.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
};

use mc2_runtime::{
    Devices,
    start::{self, Arguments},
};
use mc2_sandbox::{CodeCache, CodeName};

/// Compiled code in a folder of the tests' own.
struct Kept(PathBuf);

impl Kept {
    fn open(folder: &Path) -> std::io::Result<Option<Box<dyn CodeCache>>> {
        fs::create_dir_all(folder)?;
        Ok(Some(Box::new(Self(folder.to_owned()))))
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

// SAFETY: nobody but tests, by this program, writes into the folder, each entry under the name it is
// asked for by, whole or not at all.
#[allow(unsafe_code)]
unsafe impl CodeCache for Kept {
    fn get<'s, 'n, 'a>(&'s self, name: &'n CodeName) -> Later<'a, Option<Vec<u8>>>
    where
        's: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async move { fs::read(self.0.join(name.digest())).ok() })
    }

    fn put<'s, 'n, 'a>(&'s self, name: &'n CodeName, code: Vec<u8>) -> Later<'a, ()>
    where
        's: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let name = name.digest();
            // Another process may read or write it meanwhile.
            let unfinished = self.0.join(format!("{name}.{}", std::process::id()));
            if fs::write(&unfinished, code).is_ok() {
                // Without it, the next process compiles again.
                let _ = fs::rename(unfinished, self.0.join(name));
            }
        })
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::fail(error.as_ref()),
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut rest = std::env::args_os().skip(1);
    let root = rest.next().ok_or("expected the folder of the devices")?;
    let code = rest.next().map(PathBuf::from);
    let code = code.ok_or("expected a folder for compiled code")?;
    let caches = (Kept::open(&code)?, Kept::open(&code)?);
    start::run(&Devices::below(root), Arguments::parse(rest)?, caches)
}
