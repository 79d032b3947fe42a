//! Runs a component without an enclave:
//! `bare WORKLOAD.wasm [--instances N] [--in NAME=PATH]… [--out NAME=PATH]… [--memory BYTES] [--timeout SECONDS] -- ARGS…`

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use mc2_client::bare::{self, BareEvent, BareOptions, BareStdout};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: bare WORKLOAD.wasm [--in NAME=PATH] [--out NAME=PATH] -- ARGS");
        return ExitCode::from(64);
    };
    match bare::run_bare(options).await {
        Ok(outcome) => {
            eprintln!(
                "compiled in {:.2?}, ran for {:.3?}, {} MiB at most",
                outcome.compile_time,
                outcome.run_time,
                outcome.peak_memory >> 20
            );
            match outcome.result {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => {
                    eprintln!("bare: {failure}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            eprintln!("bare: {error}");
            ExitCode::from(70)
        }
    }
}

fn options() -> Option<BareOptions> {
    let mut options = BareOptions {
        stdout: BareStdout::Inherit,
        stderr: BareStdout::Inherit,
        memory: 4 << 30,
        cache: bare::default_cache(),
        events: Box::new(|event| {
            if let BareEvent::Progress(text) = event {
                eprintln!("progress: {text}");
            }
        }),
        ..BareOptions::new(PathBuf::new())
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let named = |text: String| {
            text.split_once('=')
                .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
        };
        match argument.as_str() {
            "--in" => options.inputs.push(named(arguments.next()?)?),
            "--out" => options.outputs.push(named(arguments.next()?)?),
            "--instances" => options.instances = arguments.next()?.parse().ok()?,
            "--memory" => options.memory = arguments.next()?.parse().ok()?,
            "--timeout" => {
                options.timeout = Some(Duration::from_secs_f64(arguments.next()?.parse().ok()?));
            }
            "--" => options.arguments.extend(arguments.by_ref()),
            _ => options.component = argument.into(),
        }
    }
    (!options.component.as_os_str().is_empty()).then_some(options)
}
