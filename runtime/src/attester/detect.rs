//! Which TEE this process is in.
//!
//! Nothing is protected by the answer: evidence of a device that lies, or is played, is refused by
//! whoever appraises it. So each is looked for by its device alone, and where none is, the user is
//! told of each what was looked for, what was found, and what to check.

use std::{fmt, fs, io, path::Path};

use super::{
    azure::{self, Azure},
    contract::Attester,
    devices::Devices,
    nitro::{self, Nitro},
    sgx::{GRAMINE_FOLDER, GRAMINE_TYPE, Gramine, OCCLUM_DEVICE, Occlum},
    tsm::{REPORTS, Snp, Tdx, Tsm, TsmError},
};

/// A TEE's attester, or what was found in its place.
type Found = Result<Box<dyn Attester>, Sought>;

/// Looks for one kind of TEE.
type Look = fn(&Devices) -> Found;

/// In this order: a library OS hides the machine beneath it; a Nitro enclave has nothing else; an
/// Azure VM's paravisor keeps the hardware's own device to itself.
const KINDS: [Look; 5] = [gramine, occlum, nitro, confidential_vm, azure];

/// The attester of the TEE that this process is in.
///
/// # Errors
/// [`NoTee`] where it is in none.
pub fn detect(devices: &Devices) -> Result<Box<dyn Attester>, NoTee> {
    let mut sought = Vec::new();
    for look in KINDS {
        match look(devices) {
            Ok(attester) => return Ok(attester),
            Err(nothing) => sought.push(nothing),
        }
    }
    Err(NoTee { sought })
}

/// A machine without a TEE, as far as this process can see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoTee {
    /// What was looked for, in order.
    pub sought: Vec<Sought>,
}

impl fmt::Display for NoTee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this process is in no enclave that it knows, so it cannot prove what it is and does \
             not start. It looked for:",
        )?;
        for sought in &self.sought {
            write!(f, "\n- {sought}")?;
        }
        Ok(())
    }
}

/// A TEE that was looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Its name.
    pub tee: &'static str,
    /// What was looked for.
    pub looked_for: String,
    /// What was found.
    pub found: String,
    /// What a user who means to be in it checks.
    pub check: &'static str,
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tee,
            looked_for,
            found,
            check,
        } = self;
        write!(
            f,
            "{tee}: looked for {looked_for}, found {found}. If this should be one: {check}."
        )
    }
}

/// SGX under Gramine.
fn gramine(devices: &Devices) -> Found {
    const NO_ENCLAVE: &str = "start the runtime with gramine-sgx on a machine whose BIOS has SGX \
                              enabled and whose kernel (5.11 or newer) has /dev/sgx_enclave";
    let path = devices.path(GRAMINE_FOLDER).join(GRAMINE_TYPE);
    let sought = |found: String, check| Sought {
        tee: "Intel SGX under Gramine",
        looked_for: path.display().to_string(),
        found,
        check,
    };
    match fs::read_to_string(&path) {
        Ok(kind) if kind.trim() == "dcap" => Ok(Box::new(Gramine::of(devices))),
        Ok(kind) => Err(sought(
            format!("an enclave whose attestation is {:?}", kind.trim()),
            "its manifest needs sgx.remote_attestation = \"dcap\"",
        )),
        Err(_) if devices.path(GRAMINE_FOLDER).is_dir() => Err(sought(
            "Gramine without SGX".to_owned(),
            "start the runtime with gramine-sgx: gramine-direct is no enclave",
        )),
        Err(error) => Err(sought(words(&error), NO_ENCLAVE)),
    }
}

/// SGX under Occlum.
fn occlum(devices: &Devices) -> Found {
    let path = devices.path(OCCLUM_DEVICE);
    let found = match Occlum::of(devices).quote_len() {
        Ok(_) => return Ok(Box::new(Occlum::of(devices))),
        Err(_) if path.is_dir() => {
            "the folder of a machine with SGX, outside an enclave".to_owned()
        }
        Err(error) => words(&error),
    };
    Err(Sought {
        tee: "Intel SGX under Occlum",
        looked_for: format!("{} that answers as Occlum's does", path.display()),
        found,
        check: "start the runtime with occlum run, in an instance built in release mode with DCAP",
    })
}

/// A Nitro enclave.
fn nitro(devices: &Devices) -> Found {
    let path = devices.path(nitro::DEVICE);
    match is_there(&path) {
        Ok(()) => Ok(Box::new(Nitro::of(devices))),
        Err(found) => Err(Sought {
            tee: "AWS Nitro Enclaves",
            looked_for: path.display().to_string(),
            found,
            check: "the runtime runs inside the enclave (nitro-cli run-enclave), not on the EC2 \
                    instance beside it, and its kernel needs CONFIG_NSM (6.8 or newer) or the \
                    module nsm",
        }),
    }
}

/// TDX or SEV-SNP, which the kernel tells apart.
fn confidential_vm(devices: &Devices) -> Found {
    const NO_FOLDER: &str = "the kernel must be 6.7 or newer with CONFIG_TSM_REPORTS, and configfs \
                             mounted (mount -t configfs none /sys/kernel/config); in a container, \
                             pass that folder in";
    const NO_PROVIDER: &str = "this kernel has the interface and nobody answers: check that the VM \
                               was started as a confidential one (BIOS: TDX, or SEV-SNP with its \
                               memory; host: kvm_intel tdx=1, kvm_amd sev_snp=1; guest: dmesg | \
                               grep -i -e tdx -e sev), and that tdx_guest or sev_guest is built in \
                               or loaded";
    const NOT_ALLOWED: &str = "only root may make entries there, and a container needs the folder \
                               writable";
    let path = devices.path(REPORTS);
    let sought = |found: String, check| Sought {
        tee: "Intel TDX or AMD SEV-SNP",
        looked_for: format!("{} (configfs-tsm)", path.display()),
        found,
        check,
    };
    if let Err(found) = is_there(&path) {
        return Err(sought(found, NO_FOLDER));
    }
    match Tsm::of(devices).provider() {
        Ok(provider) if provider == "tdx_guest" => Ok(Box::new(Tdx::of(devices))),
        Ok(provider) if provider == "sev_guest" => Ok(Box::new(Snp::of(devices))),
        Ok(provider) => Err(sought(
            format!("reports of {provider:?}"),
            "this release knows tdx_guest and sev_guest",
        )),
        Err(TsmError::Entry { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            Err(sought(words(&source), NOT_ALLOWED))
        }
        Err(error) => Err(sought(error.to_string(), NO_PROVIDER)),
    }
}

/// An Azure VM, by its vTPM.
fn azure(devices: &Devices) -> Found {
    const NO_DEVICE: &str = "the VM must be a confidential one (security type Confidential), its \
                             kernel needs CONFIG_TCG_TIS or CONFIG_TCG_CRB, and a container the \
                             device (--device /dev/tpmrm0)";
    let path = devices.path(azure::DEVICE);
    let sought = |found: String, check| Sought {
        tee: "Azure confidential VM (vTPM)",
        looked_for: format!("{} with the paravisor's report", path.display()),
        found,
        check,
    };
    if let Err(found) = is_there(&path) {
        return Err(sought(found, NO_DEVICE));
    }
    let azure = Azure::of(devices);
    match azure.is_there() {
        Ok(()) => Ok(Box::new(azure)),
        Err(error) => Err(sought(
            error.to_string(),
            "a TPM alone proves nothing about an enclave: only that of an Azure confidential VM has \
             the report, and reading it needs root or the group tss",
        )),
    }
}

/// Whether something is at a path, or in words what is not.
fn is_there(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(words(&error)),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "nothing".to_owned(),
        io::ErrorKind::PermissionDenied => "something that this user may not open".to_owned(),
        _ => format!("something that answers: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What most people see first: a machine that has no enclave.
    #[test]
    fn a_machine_without_an_enclave_is_told_what_was_looked_for_of_each_kind() {
        let root = tempfile::tempdir().unwrap();
        let Err(none) = detect(&Devices::below(root.path())) else {
            panic!("an empty folder is an enclave");
        };
        assert_eq!(none.sought.len(), KINDS.len());
        let text = none.to_string();
        for part in [
            "SGX under Gramine",
            "dev/attestation/attestation_type",
            "SGX under Occlum",
            "dev/sgx",
            "Nitro",
            "dev/nsm",
            "TDX or AMD SEV-SNP",
            "sys/kernel/config/tsm/report",
            "vTPM",
            "dev/tpmrm0",
            "found nothing",
            "BIOS",
            "container",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_is_half_there_is_named() {
        let root = tempfile::tempdir().unwrap();
        let devices = Devices::below(root.path());
        for folder in ["dev/attestation", "dev/sgx", REPORTS] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("dev/tpmrm0"), b"").unwrap();
        let found = |devices| match detect(devices) {
            Ok(attester) => panic!("{}", attester.tee()),
            Err(none) => none.to_string(),
        };
        let text = found(&devices);
        for part in [
            "found Gramine without SGX",
            "outside an enclave",
            // A plain folder has no provider.
            "nobody answers",
            "not what the command's is",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        fs::write(root.path().join("dev/attestation/attestation_type"), "none").unwrap();
        assert!(found(&devices).contains("sgx.remote_attestation"));
    }
}
