//! A real TPM 2.0 in software (`swtpm`) behind `/dev/tpmrm0`, set up as Azure's paravisor sets up its
//! own: a key that signs quotes, and the hardware's report, which commits to it, in an index.

use std::{
    collections::{HashMap, VecDeque},
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mc2_attestation::{Endorsement, test_util::forger::Snp};
use mc2_protocol::Digest;
use serde_json::json;
use tempfile::TempDir;

use super::machine::{Device, Errno, Parts};

const OWNER: u32 = 0x4000_0001;
const KEY: u32 = 0x8100_0003;
const REPORT_INDEX: u32 = 0x0140_0001;
/// What the paravisor calls a report of SEV-SNP, and of TDX.
const SNP: u32 = 2;
const TDX: u32 = 4;
/// The room for either, and where a TD's has its report data.
const REPORT_LEN: usize = 1184;
const REPORT_DATA: usize = 128;
/// Most bytes that are written into an index at once.
const PIECE: usize = 512;

/// TPM_RC_RETRY.
const RETRY: [u8; 4] = [0, 0, 0x09, 0x22];

const NV_DEFINE: u32 = 0x12a;
const NV_WRITE: u32 = 0x137;
const EVICT: u32 = 0x120;
const CREATE_PRIMARY: u32 = 0x131;
const FLUSH: u32 = 0x165;

/// A TPM of an Azure VM.
pub(crate) struct Tpm {
    connection: Mutex<UnixStream>,
    /// What is left of the answer to each opening's last command.
    answers: Mutex<HashMap<u64, VecDeque<Vec<u8>>>>,
    /// What AMD would say of the report beneath.
    pub endorsements: Vec<Endorsement>,
    process: Child,
    _folder: TempDir,
}

impl Tpm {
    /// Starts one, with the report of this chip beneath.
    pub(crate) fn start(snp: &Snp) -> Arc<Self> {
        let mut endorsements = Vec::new();
        let mut tpm = Self::with(SNP, |committed| {
            let forged = snp.sign(committed);
            endorsements = forged.endorsements;
            forged.evidence.value.0
        });
        tpm.endorsements = endorsements;
        Arc::new(tpm)
    }

    /// Starts one with a TD's report beneath, as the paravisor has it: good on its machine alone.
    pub(crate) fn over_tdx() -> Arc<Self> {
        Arc::new(Self::with(TDX, |committed| {
            let mut report = vec![0x81; REPORT_LEN];
            report[REPORT_DATA..][..64].copy_from_slice(committed);
            report
        }))
    }

    /// One with a report over these 64 bytes, of the kind that the paravisor calls so.
    fn with(kind: u32, report: impl FnOnce(&[u8; 64]) -> Vec<u8>) -> Self {
        let tpm = Self::blank();
        let modulus = tpm.make_key();
        let statement = json!({ "keys": [{
            "kid": "HCLAkPub",
            "key_ops": ["sign"],
            "kty": "RSA",
            "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(&modulus),
        }]});
        let statement = serde_json::to_vec(&statement).expect("JSON");
        let mut committed = [0; 64];
        committed[..32].copy_from_slice(Digest::of(&statement).as_bytes());
        let hardware = report(&committed);
        let numbers = [0, 1, kind, 1, statement.len() as u32].map(u32::to_le_bytes);
        let mut head = vec![0; 32];
        head[..4].copy_from_slice(b"HCLA");
        let report = [head, hardware, numbers.concat(), statement];
        tpm.keep(&report.concat());
        tpm
    }

    /// A TPM of a machine that has nothing else.
    pub(crate) fn blank() -> Self {
        let folder = TempDir::with_prefix("mc2-tpm-").expect("a temporary folder");
        let socket = folder.path().join("tpm.sock");
        let at = |kind: &str, path: &str| format!("{kind}{}", folder.path().join(path).display());
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &at("dir=", "")])
            .args(["--server", &at("type=unixio,path=", "tpm.sock")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("swtpm, which `cargo xtask test` installs");
        let connection = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(20));
            UnixStream::connect(&socket).ok()
        });
        Self {
            connection: Mutex::new(connection.expect("a TPM that listens")),
            answers: Mutex::default(),
            endorsements: Vec::new(),
            process,
            _folder: folder,
        }
    }

    /// In its place.
    pub(crate) fn put(parts: Parts, tpm: &Arc<Self>) -> Parts {
        let device: Arc<dyn Device> = Arc::<Self>::clone(tpm);
        parts.file("dev/tpmrm0", device)
    }

    /// Extends PCR14 by something that is no policy's digest, as a boot loader may.
    pub(crate) fn boot_with_shim(&self) {
        let parameters = [&1_u32.to_be_bytes()[..], &[0, 0x0b], &[7; 32]].concat();
        self.run(0x182, &[14], &parameters);
    }

    /// A restricted RSA key for RSASSA with SHA-256, where Azure's is; its modulus.
    fn make_key(&self) -> Vec<u8> {
        let attributes: u32 = 0x0005_0072;
        let public = [
            &[0, 1, 0, 0x0b][..],
            &attributes.to_be_bytes(),
            // No policy, no symmetric cipher, RSASSA, SHA-256, 2,048 bits, the usual exponent, and a
            // modulus to be made.
            &[0, 0, 0, 0x10, 0, 0x14, 0, 0x0b, 0x08, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        // No password and no data; no outside information, no PCRs.
        let parameters = [&[0, 4, 0, 0, 0, 0][..], &sized(&public), &[0; 6]].concat();
        let answer = self.run(CREATE_PRIMARY, &[OWNER], &parameters);
        let handle = u32::from_be_bytes(*answer.first_chunk().expect("a handle"));
        self.run(EVICT, &[OWNER, handle], &KEY.to_be_bytes());
        self.run(FLUSH, &[], &handle.to_be_bytes());
        // Behind handle and lengths, all of the public area but its last field, which has a length.
        let modulus = 4 + 4 + 2 + public.len();
        answer[modulus..modulus + 256].to_vec()
    }

    /// Keeps bytes where the paravisor keeps its report, for the owner to read.
    fn keep(&self, bytes: &[u8]) {
        let attributes: u32 = 0x0202_0002;
        let public = [
            &REPORT_INDEX.to_be_bytes()[..],
            &[0, 0x0b],
            &attributes.to_be_bytes(),
            &[0, 0],
            &(bytes.len() as u16).to_be_bytes(),
        ]
        .concat();
        let parameters = [&[0, 0][..], &sized(&public)].concat();
        self.run(NV_DEFINE, &[OWNER], &parameters);
        for (index, piece) in bytes.chunks(PIECE).enumerate() {
            let offset = (index * PIECE) as u16;
            let parameters = [sized(piece), offset.to_be_bytes().to_vec()].concat();
            self.run(NV_WRITE, &[OWNER, REPORT_INDEX], &parameters);
        }
    }

    /// Runs a command; what follows the head of its answer.
    fn run(&self, code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
        let mut body: Vec<u8> = handles
            .iter()
            .flat_map(|handle| handle.to_be_bytes())
            .collect();
        let mut tag = [0x80, 0x01];
        if !handles.is_empty() {
            tag = [0x80, 0x02];
            body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
        }
        body.extend(parameters);
        let length = (10 + body.len()) as u32;
        let command = [&tag[..], &length.to_be_bytes(), &code.to_be_bytes(), &body].concat();
        let answer = self.exchange(&command);
        assert_eq!(answer[6..10], [0; 4], "command {code:#x}");
        answer[10..].to_vec()
    }

    /// As the kernel's driver does, which sends a command again where the TPM asks for that.
    fn exchange(&self, command: &[u8]) -> Vec<u8> {
        loop {
            let answer = self.exchange_once(command);
            if answer[6..10] != RETRY {
                return answer;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn exchange_once(&self, command: &[u8]) -> Vec<u8> {
        let mut connection = self.connection.lock().expect("never poisoned");
        connection.write_all(command).expect("a TPM that takes it");
        let mut answer = vec![0; 10];
        connection.read_exact(&mut answer).expect("an answer");
        let length = u32::from_be_bytes(*answer[2..].first_chunk().expect("ten bytes"));
        answer.resize(length as usize, 0);
        connection.read_exact(&mut answer[10..]).expect("all of it");
        answer
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Device for Tpm {
    /// An answer in two pieces, which a kernel may give as well.
    fn read(&self, opening: u64, _offset: u64) -> Result<Vec<u8>, Errno> {
        let mut answers = self.answers.lock().expect("never poisoned");
        let piece = answers.get_mut(&opening).and_then(VecDeque::pop_front);
        Ok(piece.unwrap_or_default())
    }

    fn write(&self, opening: u64, _offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut answers = self.answers.lock().expect("never poisoned");
        if answers.get(&opening).is_some_and(|left| !left.is_empty()) {
            return Err(Errno::EBUSY);
        }
        let answer = self.exchange(bytes);
        let (head, rest) = answer.split_at(7);
        let pieces = VecDeque::from([head.to_vec(), rest.to_vec()]);
        answers.insert(opening, pieces);
        Ok(())
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_be_bytes();
    [&length[..], bytes].concat()
}
