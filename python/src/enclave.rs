//! The enclave of a notebook: started or connected to, sealed for, called, closed.

use std::{
    collections::BTreeMap,
    io::Cursor,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use mc2_attestation::Check;
use mc2_client::{
    checks,
    collateral::CollateralOptions,
    enclave::{self, Call, Data, Held, Opened, Options},
    exit::Exit,
    policy::generous_limits,
    run::{Destination, InputError, Output, Report, RunError},
    seal::source::Source,
    workload::Workload,
};
use mc2_protocol::{
    Digest, Name, documents::receipt::Status, policy::Duration, sealed::manifest::MediaType,
};
use pyo3::{prelude::*, types::PyBytes, types::PyCapsule, types::PyDict};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    arrow::{Given, Plain},
    policy::Policy,
    raising::{bad_input, internal, raise},
    waiting::{Stopper, wait},
};

/// The threads that talk to the host, and are the host where it is this process's own.
const THREADS: usize = 2;
/// How long whatever still runs in them is waited for at the end.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
const STREAM: &str = "application/vnd.apache.arrow.stream";

/// A version of a dataset that was sealed and is at an enclave's host.
#[pyclass(frozen, module = "mc2")]
pub(crate) struct Sealed {
    held: Held,
    /// Which enclave's host has it.
    of: u64,
}

#[pymethods]
impl Sealed {
    /// The dataset's name.
    #[getter]
    fn name(&self) -> String {
        self.held.dataset().to_string()
    }

    /// The version's object, in hexadecimal.
    #[getter]
    fn object(&self) -> String {
        self.held.object().to_string()
    }

    /// Bytes that were sealed.
    #[getter]
    fn length(&self) -> u64 {
        self.held.length()
    }

    fn __repr__(&self) -> String {
        let (name, length) = (self.held.dataset(), self.held.length());
        let object = self.held.object().short();
        format!("<mc2.Sealed {name}: {length} bytes sealed, object {object}>")
    }
}

/// An enclave's host, connected.
#[pyclass(frozen, module = "mc2")]
pub(crate) struct Enclave {
    running: Mutex<Option<Running>>,
    /// Tells this one from others.
    id: u64,
    /// The process it was opened in: another one that was forked has none of its threads.
    process: u32,
}

struct Running {
    runtime: Runtime,
    opened: Arc<Opened>,
}

#[pymethods]
impl Enclave {
    /// Connects to the host, or starts one of this process's own. NOT SECURE then.
    #[staticmethod]
    #[pyo3(signature = (host = None, host_ca = None, tee = None, allow_simulated = false,
                        runtime = None, identity = None, collateral = None, terms = None))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords")]
    fn connect(
        py: Python<'_>,
        host: Option<&str>,
        host_ca: Option<PathBuf>,
        tee: Option<&str>,
        allow_simulated: bool,
        runtime: Option<PathBuf>,
        identity: Option<String>,
        collateral: Option<PathBuf>,
        terms: Option<&Bound<'_, Terms>>,
    ) -> PyResult<Self> {
        let host = host.map(|text| text.parse()).transpose();
        let host = host.map_err(|error| raise(py, &RunError::Address(error)))?;
        let tee = tee.map(str::parse).transpose();
        let tee = tee.map_err(|error| bad_input(py, &format!("tee: {error}")))?;
        let options = Options {
            host,
            host_ca,
            tee,
            allow_simulated,
            runtime,
            identity,
            collateral: CollateralOptions {
                file: collateral,
                max_age_days: None,
            },
            terms: terms.map(|terms| terms.get().0.clone()),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("mc2")
            .enable_all()
            .build()
            .map_err(|error| internal(py, &format!("cannot start threads: {error}")))?;
        let stopper = Stopper::new();
        let opening = |_| Opened::open(options);
        let opened = wait(py, runtime.handle(), &stopper, None, opening)?;
        Ok(Self {
            running: Mutex::new(Some(Running {
                runtime,
                opened: Arc::new(opened),
            })),
            id: fresh(),
            process: std::process::id(),
        })
    }

    /// Seals a file or a folder as a version of the dataset `name`.
    #[pyo3(signature = (path, name, progress = None, stopper = None))]
    fn seal_path(
        &self,
        py: Python<'_>,
        path: PathBuf,
        name: &str,
        progress: Option<Py<PyAny>>,
        stopper: Option<&Bound<'_, Stopper>>,
    ) -> PyResult<Sealed> {
        self.seal(py, Data::Path(path), name, progress, stopper)
    }

    /// Seals a table that came by Arrow's PyCapsule interface as a version of the dataset `name`. It goes
    /// to no disk on the way.
    #[pyo3(signature = (capsule, name, progress = None, stopper = None))]
    fn seal_stream(
        &self,
        py: Python<'_>,
        capsule: &Bound<'_, PyCapsule>,
        name: &str,
        progress: Option<Py<PyAny>>,
        stopper: Option<&Bound<'_, Stopper>>,
    ) -> PyResult<Sealed> {
        let given = Given::of(py, name, capsule)?;
        let media_type = MediaType::try_from(STREAM.to_owned())
            // A constant within the alphabet.
            .unwrap_or_else(|_| MediaType::octet_stream());
        let source = Source::made(name.into(), media_type, Box::new(given));
        self.seal(py, Data::Made(source), name, progress, stopper)
    }

    /// Seals bytes that Python has as a version of the dataset `name`.
    #[pyo3(signature = (bytes, name, media_type, progress = None, stopper = None))]
    fn seal_bytes(
        &self,
        py: Python<'_>,
        bytes: Vec<u8>,
        name: &str,
        media_type: &str,
        progress: Option<Py<PyAny>>,
        stopper: Option<&Bound<'_, Stopper>>,
    ) -> PyResult<Sealed> {
        let media_type = MediaType::try_from(media_type.to_owned());
        let media_type = media_type.map_err(|error| bad_input(py, error))?;
        let source = Source::made(name.into(), media_type, Box::new(Cursor::new(bytes)));
        self.seal(py, Data::Made(source), name, progress, stopper)
    }

    /// Opens the session of the policy, or that a component without inputs or outputs would use: every
    /// check of its evidence as JSON. Raises nothing where it is refused.
    #[pyo3(signature = (component = None, stopper = None))]
    fn attest(
        &self,
        py: Python<'_>,
        component: Option<&Component>,
        stopper: Option<&Bound<'_, Stopper>>,
    ) -> PyResult<String> {
        let call = component.map(|component| Call::of(component.0.clone()));
        let enclave = self.enclave(py)?;
        let stopper = chosen(py, stopper)?;
        let stop = stopper.get().listen();
        let attesting = |_| async move { enclave.attest(call.as_ref(), &stop).await };
        let (checks, refused) = self.wait(py, &stopper, None, attesting)?;
        Ok(json!({
            "accepted": refused.is_none(),
            "checks": checks::to_json(&checks),
        })
        .to_string())
    }

    /// Runs a component: what is told of the run as JSON, standard output and error, and the outputs by
    /// name.
    #[pyo3(signature = (component, inputs, outputs, arguments, memory = None, timeout = None,
                        instances = None, job = None, progress = None, stopper = None))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords")]
    fn call<'py>(
        &self,
        py: Python<'py>,
        component: &Component,
        inputs: Vec<(String, Bound<'py, Sealed>)>,
        outputs: Vec<(String, Option<PathBuf>)>,
        arguments: Vec<String>,
        memory: Option<&str>,
        timeout: Option<&str>,
        instances: Option<u32>,
        job: Option<String>,
        progress: Option<Py<PyAny>>,
        stopper: Option<&Bound<'py, Stopper>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let enclave = self.enclave(py)?;
        if enclave.is_agreed() && (memory.is_some() || timeout.is_some()) {
            let words = "memory and timeout do not go with a policy: the policy states the limits";
            return Err(bad_input(py, words));
        }
        let mut limits = generous_limits();
        if let Some(text) = memory {
            let size = text
                .parse()
                .map_err(|error| bad_input(py, &format!("memory: {error}")))?;
            limits.memory = size;
        }
        if let Some(text) = timeout {
            let time = text
                .parse()
                .map_err(|error| bad_input(py, &format!("timeout: {error}")))?;
            limits.time = time;
        }
        let call = Call {
            inputs: self.inputs(py, inputs)?,
            outputs: outputs_of(outputs).map_err(|error| raise(py, &error.into()))?,
            arguments,
            limits,
            instances,
            job,
            ..Call::of(component.0.clone())
        };
        let stopper = chosen(py, stopper)?;
        let stop = stopper.get().listen();
        let calling = |observer| async move { enclave.call(&call, &observer, &stop).await };
        let done = self.wait(py, &stopper, progress.as_ref(), calling)?;
        told(py, done)
    }

    /// The dataset that an input of a call is: of its own name, where no policy was agreed.
    #[pyo3(signature = (component, input, job = None))]
    fn dataset_of(
        &self,
        py: Python<'_>,
        component: &Component,
        input: &str,
        job: Option<&str>,
    ) -> PyResult<String> {
        let name = named(input).map_err(|error| raise(py, &error.into()))?;
        let dataset = self.enclave(py)?.dataset_of(job, &component.0, &name);
        let dataset = dataset.map_err(|error| raise(py, &error))?;
        Ok(dataset.to_string())
    }

    /// The session that calls under the policy go to, opened where there is none.
    #[pyo3(signature = (stopper = None))]
    fn session(&self, py: Python<'_>, stopper: Option<&Bound<'_, Stopper>>) -> PyResult<String> {
        let enclave = self.enclave(py)?;
        let stopper = chosen(py, stopper)?;
        let stop = stopper.get().listen();
        let entering = |_| async move { enclave.session(&stop).await };
        let session = self.wait(py, &stopper, None, entering)?;
        Ok(session.to_string())
    }

    /// Approves the policy in its session, and releases keys for so many runs: what was given, for people.
    #[pyo3(signature = (given, runs = 1, stopper = None))]
    fn approve(
        &self,
        py: Python<'_>,
        given: Vec<Bound<'_, Sealed>>,
        runs: u32,
        stopper: Option<&Bound<'_, Stopper>>,
    ) -> PyResult<String> {
        let given = given.into_iter();
        let given = given.map(|sealed| (sealed.get().name(), sealed)).collect();
        let given: Vec<Held> = self
            .inputs(py, given)?
            .into_iter()
            .map(|(_, held)| held)
            .collect();
        let enclave = self.enclave(py)?;
        let stopper = chosen(py, stopper)?;
        let stop = stopper.get().listen();
        let approving = |_| async move { enclave.approve(&given, runs, &stop).await };
        self.wait(py, &stopper, None, approving)
    }

    /// Whether calls run under a policy that was agreed.
    #[getter]
    fn is_agreed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.enclave(py)?.is_agreed())
    }

    /// Where its host is.
    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.enclave(py)?.address().to_string())
    }

    /// Whether it is open.
    #[getter]
    fn is_open(&self) -> bool {
        self.is_own() && self.lock().is_some()
    }

    /// Whether there is no enclave at all. NOT SECURE.
    #[getter]
    fn is_simulated(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.enclave(py)?.is_simulated())
    }

    /// The card of the identity whose enclave it is.
    #[getter]
    fn card(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.enclave(py)?.identity().card().to_string())
    }

    /// Ends what was started, or the sessions at a host elsewhere. Once is enough.
    fn close(&self, py: Python<'_>) {
        if !self.is_own() {
            return;
        }
        let running = self.lock().take();
        if let Some(Running { runtime, opened }) = running {
            py.detach(|| {
                runtime.block_on(opened.close());
                runtime.shutdown_timeout(PATIENCE);
            });
        }
    }
}

impl Enclave {
    fn seal(
        &self,
        py: Python<'_>,
        data: Data,
        name: &str,
        progress: Option<Py<PyAny>>,
        stopper: Option<&Bound<'_, Stopper>>,
    ) -> PyResult<Sealed> {
        let dataset = named(name).map_err(|error| raise(py, &error.into()))?;
        let enclave = self.enclave(py)?;
        let stopper = chosen(py, stopper)?;
        let stop = stopper.get().listen();
        let sealing = |observer: mc2_client::event::Observer| async move {
            use mc2_client::{event::Phase, run::RunEvent};
            let tell = move |done| observer(RunEvent::Done(Phase::Seal, done));
            enclave.seal(dataset, data, tell, &stop).await
        };
        let held = self.wait(py, &stopper, progress.as_ref(), sealing)?;
        Ok(Sealed { held, of: self.id })
    }

    fn inputs(
        &self,
        py: Python<'_>,
        given: Vec<(String, Bound<'_, Sealed>)>,
    ) -> PyResult<Vec<(Name, Held)>> {
        let input = |(name, sealed): (String, Bound<'_, Sealed>)| {
            let sealed = sealed.get();
            if sealed.of != self.id {
                let words = format!(
                    "the sealed data given as {name} is at another enclave's host: seal it for this \
                     one"
                );
                return Err(bad_input(py, &words));
            }
            let name = named(&name).map_err(|error| raise(py, &error.into()))?;
            Ok((name, sealed.held.clone()))
        };
        given.into_iter().map(input).collect()
    }

    fn wait<T, F>(
        &self,
        py: Python<'_>,
        stopper: &Bound<'_, Stopper>,
        progress: Option<&Py<PyAny>>,
        make: impl FnOnce(mc2_client::event::Observer) -> F,
    ) -> PyResult<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RunError>> + Send + 'static,
    {
        let handle = {
            let running = self.lock();
            running
                .as_ref()
                .map(|running| running.runtime.handle().clone())
        };
        let handle = handle.ok_or_else(|| closed(py))?;
        wait(py, &handle, stopper.get(), progress, make)
    }

    fn enclave(&self, py: Python<'_>) -> PyResult<Arc<enclave::Enclave>> {
        if !self.is_own() {
            let words = "this enclave was opened by the process that this one was forked from: \
                         connect again here";
            return Err(bad_input(py, words));
        }
        let running = self.lock();
        let opened = running.as_ref().map(|running| running.opened.enclave());
        opened.ok_or_else(|| closed(py))
    }

    fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Enclave {
    fn drop(&mut self) {
        let running = self.lock().take();
        let Some(Running { runtime, opened }) = running else {
            return;
        };
        if self.process != std::process::id() {
            // Its threads are the other process's, and so are its folder and its runtime.
            std::mem::forget((runtime, opened));
            return;
        }
        runtime.block_on(opened.close());
        runtime.shutdown_background();
    }
}

/// A policy that was agreed, and how a person takes part.
#[pyclass(frozen, module = "mc2")]
pub(crate) struct Terms(enclave::Terms);

#[pymethods]
impl Terms {
    #[new]
    #[pyo3(signature = (policy, path, digest = None, session = None, components = Vec::new(), wait = None))]
    fn new(
        py: Python<'_>,
        policy: &Policy,
        path: PathBuf,
        digest: Option<&str>,
        session: Option<&str>,
        components: Vec<PathBuf>,
        wait: Option<&str>,
    ) -> PyResult<Self> {
        let digest_of = |what: &str, text: &str| {
            let words = |error| bad_input(py, &format!("{what}: {error}"));
            text.parse::<Digest>().map_err(words)
        };
        let others = wait.map(str::parse::<Duration>).transpose();
        let others = others.map_err(|error| bad_input(py, &format!("wait: {error}")))?;
        Ok(Self(enclave::Terms {
            policy: policy.0.clone(),
            path,
            digest: digest
                .map(|text| digest_of("policy_digest", text))
                .transpose()?,
            session: session.map(|text| digest_of("session", text)).transpose()?,
            components,
            others: others.map(|wait| std::time::Duration::from_millis(wait.millis())),
        }))
    }
}

/// A component's file, read and measured once.
#[pyclass(frozen, module = "mc2")]
pub(crate) struct Component(Workload);

#[pymethods]
impl Component {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let read = py.detach(|| Workload::read(&path));
        read.map(Self).map_err(|error| raise(py, &error.into()))
    }

    /// SHA-256 of its exact bytes, in hexadecimal.
    #[getter]
    fn sha256(&self) -> String {
        self.0.sha256.to_string()
    }
}

fn chosen<'py>(
    py: Python<'py>,
    given: Option<&Bound<'py, Stopper>>,
) -> PyResult<Bound<'py, Stopper>> {
    match given {
        Some(stopper) => Ok(stopper.clone()),
        None => Bound::new(py, Stopper::new()),
    }
}

fn closed(py: Python<'_>) -> PyErr {
    bad_input(py, "this enclave was closed: connect again")
}

fn fresh() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn named(text: &str) -> Result<Name, InputError> {
    text.parse().map_err(|source| InputError::Name {
        option: "in",
        name: text.to_owned(),
        source,
    })
}

/// The outputs as they were asked for: those without a path into memory, those whose path ends with `/`
/// as folders.
fn outputs_of(given: Vec<(String, Option<PathBuf>)>) -> Result<Vec<Output>, InputError> {
    let output = |(name, path): (String, Option<PathBuf>)| {
        let place = match path {
            None => Destination::Memory,
            Some(path) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                Destination::Folder(path.components().collect())
            }
            Some(path) => Destination::File(path),
        };
        Output::new(&name, place)
    };
    given.into_iter().map(output).collect()
}

/// What came of a call, for Python.
fn told(py: Python<'_>, mut done: Report) -> PyResult<Bound<'_, PyDict>> {
    let stdout = done.take_stdout().map_err(|error| {
        let words = format!("the standard output that was kept cannot be read: {error}");
        internal(py, &words)
    })?;
    let reason = match &done.status {
        Status::Succeeded => None,
        Status::Failed { reason, .. } => Some(reason.clone()),
    };
    let cause = Exit::of_job(&done.status);
    let written = done.outputs.iter().map(|one| (&one.name, &one.path));
    let report = json!({
        "status": if reason.is_none() { "succeeded" } else { "failed" },
        "reason": reason,
        "cause": format!("{cause:?}"),
        "message": done.failure(),
        "simulated": done.simulated,
        "session": done.session,
        "policy": done.policy,
        "component": done.component,
        "job": done.job,
        "attestation": shown(&done.attestation),
        "verification": shown(&done.verification),
        "usage": done.figures.to_json(),
        "receipt": done.receipt.to_string_lossy(),
        "written": written.collect::<BTreeMap<_, _>>(),
    });
    let told = PyDict::new(py);
    told.set_item("report", report.to_string())?;
    told.set_item("stdout", PyBytes::new(py, &stdout))?;
    told.set_item("stderr", PyBytes::new(py, &done.stderr))?;
    let outputs = PyDict::new(py);
    for (name, bytes) in done.memory {
        outputs.set_item(name, Bound::new(py, Plain::new(bytes))?)?;
    }
    told.set_item("outputs", outputs)?;
    Ok(told)
}

fn shown(checks: &[Check]) -> serde_json::Value {
    checks::to_json(checks).into()
}
