//! Intel's part: a root, the authorities under it, a platform, its quoting enclave, and collateral.

use mc2_protocol::{
    documents::receipt::{Endorsement, Evidence},
    encoding::to_json,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::der;
use crate::{
    Interval, UnixSeconds,
    tee::{Roots, Tee, dcap::COLLATERAL_TYPE, media_type},
};

/// MRSIGNER of the forged quoting enclave.
const QE_SIGNER: [u8; 32] = [0x51; 32];
const FMSPC: [u8; 6] = [0xfa, 0xce, 0, 0, 0, 1];
const CPU_SVN: [u8; 16] = [7; 16];
const PCE_SVN: u64 = 9;

/// A forged Intel, and one platform it certified. What a test changes before it asks for evidence
/// or collateral is in them.
#[derive(Clone)]
pub struct Intel {
    root: Authority,
    platform_ca: Authority,
    tcb_signer: Authority,
    platform: SigningKey,
    attestation: SigningKey,
    /// When certificates and lists are good.
    pub good: Interval,
    /// When the TCB info is good.
    pub info_good: Interval,
    /// When the quoting enclave's identity is good.
    pub identity_good: Interval,
    /// The platform's TCB status, by Intel's name.
    pub status: &'static str,
    /// The advisories its status is open to.
    pub advisories: Vec<&'static str>,
    /// The SVN that the one TCB level asks of each component; the platform has 7.
    pub required_svn: u8,
    /// The TCB evaluation data number, of the TCB info.
    pub evaluation: u32,
    /// The same number, of the quoting enclave's identity.
    pub identity_evaluation: u32,
    /// The number of both revocation lists.
    pub list_number: u64,
    /// Whether the list of platforms' certificates says until when it is good.
    pub next_update: bool,
    /// Whether the platform's certificate is on that list.
    pub revoked: bool,
    /// The platform instance id.
    pub instance: [u8; 16],
    /// Whether the platform's certificate says that hyperthreading is on.
    pub smt: bool,
}

/// An enclave that asks for a quote.
#[derive(Clone)]
pub struct Enclave {
    /// The quote's version, 3 or 4.
    pub version: u16,
    /// MRENCLAVE.
    pub measurement: [u8; 32],
    /// Its 64 bytes of report data.
    pub report_data: [u8; 64],
    /// ATTRIBUTES: initialised and 64-bit; bit 1 is debug.
    pub attributes: [u8; 16],
    /// CONFIGID, of key separation and sharing.
    pub config_id: [u8; 64],
    /// CONFIGSVN.
    pub config_svn: u16,
}

/// A TD that asks for a quote.
#[derive(Clone)]
pub struct Td {
    /// The quote's version, 4 or 5.
    pub version: u16,
    /// MRTD.
    pub measurement: [u8; 48],
    /// RTMR0 to RTMR3.
    pub rtmrs: [[u8; 48]; 4],
    /// Its 64 bytes of report data.
    pub report_data: [u8; 64],
    /// TD attributes: SEPT_VE_DISABLE; bit 0 is debug, bit 29 migratable.
    pub attributes: u64,
    /// MRCONFIGID.
    pub config_id: [u8; 48],
    /// MRSERVICETD, which only a quote of version 5 has.
    pub service_td: [u8; 48],
}

impl Enclave {
    /// An enclave as it should be.
    pub const fn new(measurement: [u8; 32], report_data: [u8; 64]) -> Self {
        let mut attributes = [0; 16];
        attributes[0] = 0x05;
        Self {
            version: 3,
            measurement,
            report_data,
            attributes,
            config_id: [0; 64],
            config_svn: 0,
        }
    }

    fn report(&self) -> Vec<u8> {
        let mut report = Vec::with_capacity(384);
        report.extend(CPU_SVN);
        report.extend([0; 32]);
        report.extend(self.attributes);
        report.extend(self.measurement);
        report.extend([0; 32]);
        report.extend([0x3e; 32]);
        report.extend([0; 32]);
        report.extend(self.config_id);
        report.extend([0; 4]);
        report.extend(self.config_svn.to_le_bytes());
        report.extend([0; 58]);
        report.extend(self.report_data);
        report
    }
}

impl Td {
    /// A TD as it should be, in a quote of this version.
    pub const fn new(version: u16, measurement: [u8; 48], report_data: [u8; 64]) -> Self {
        Self {
            version,
            measurement,
            rtmrs: [[1; 48], [2; 48], [3; 48], [0; 48]],
            report_data,
            attributes: 1 << 28,
            config_id: [0; 48],
            service_td: [0; 48],
        }
    }

    fn report(&self) -> Vec<u8> {
        let mut report = Vec::with_capacity(648);
        // The module's SVN and version, the microcode's SVN.
        let mut tcb_svn = [0; 16];
        tcb_svn[..3].copy_from_slice(&[7, 1, 7]);
        report.extend(tcb_svn);
        report.extend([0x5e; 48]);
        report.extend([0; 48]);
        report.extend([0; 8]);
        report.extend(self.attributes.to_le_bytes());
        report.extend([0xe7, 0, 6, 0, 0, 0, 0, 0]);
        report.extend(self.measurement);
        report.extend(self.config_id);
        report.extend([0; 96]);
        report.extend(self.rtmrs.concat());
        report.extend(self.report_data);
        if self.version == 5 {
            report.extend(tcb_svn);
            report.extend(self.service_td);
        }
        report
    }
}

impl Intel {
    /// A forged Intel whose certificates and lists are `good`; the seed decides all keys.
    pub fn new(seed: u8, good: Interval) -> Self {
        Self {
            root: Authority::new("Forged SGX Root CA", seed, 1),
            platform_ca: Authority::new("Forged SGX PCK Platform CA", seed, 2),
            tcb_signer: Authority::new("Forged SGX TCB Signing", seed, 3),
            platform: key(seed, 4),
            attestation: key(seed, 5),
            good,
            info_good: good,
            identity_good: good,
            status: "UpToDate",
            advisories: Vec::new(),
            required_svn: 7,
            evaluation: 20,
            identity_evaluation: 20,
            list_number: 3,
            next_update: true,
            revoked: false,
            instance: [0xa1; 16],
            smt: false,
        }
    }

    /// The vendors' roots but for Intel's, which is this one's.
    pub fn roots(&self) -> Roots {
        Roots::default().with_intel(self.root())
    }

    /// This one's root, DER.
    pub fn root(&self) -> Vec<u8> {
        self.root_certificate()
    }

    /// An SGX quote of the enclave's version.
    pub fn sgx_quote(&self, enclave: &Enclave) -> Evidence {
        let signed = [header(enclave.version, 0), enclave.report()].concat();
        let auth = match enclave.version {
            4 => self.nested(&signed),
            _ => [
                self.attestation_signature(&signed),
                public(&self.attestation),
                self.quoting_enclave(),
            ]
            .concat(),
        };
        Evidence {
            media_type: media_type(Tee::Sgx).to_owned(),
            value: [signed, length(&auth), auth].concat().into(),
        }
    }

    /// A TDX quote of the TD's version.
    pub fn tdx_quote(&self, td: &Td) -> Evidence {
        let report = td.report();
        let body = match td.version {
            5 => [&[3, 0][..], &length(&report), &report].concat(),
            _ => report,
        };
        let signed = [header(td.version, 0x81), body].concat();
        let auth = self.nested(&signed);
        Evidence {
            media_type: media_type(Tee::Tdx).to_owned(),
            value: [signed, length(&auth), auth].concat().into(),
        }
    }

    /// Collateral for this platform.
    pub fn collateral(&self, tee: Tee) -> Endorsement {
        let root = self.root_certificate();
        let signer = self.certificate(
            &self.tcb_signer.name,
            &self.root,
            &self.tcb_signer.key,
            Role::Signer,
        );
        let platform_ca = self.platform_ca_certificate();
        let info = self.tcb_info(tee).to_string();
        let identity = self.qe_identity(tee).to_string();
        let platform = self.revoked.then_some(PLATFORM_SERIAL);
        let until = self.next_update.then_some(self.good.until);
        let collateral = json!({
            "pck_crl_issuer_chain": pem(&[&platform_ca, &root]),
            "root_ca_crl": hex::encode(self.list(&self.root, None, Some(self.good.until))),
            "pck_crl": hex::encode(self.list(&self.platform_ca, platform, until)),
            "tcb_info_issuer_chain": pem(&[&signer, &root]),
            "tcb_info": info,
            "tcb_info_signature": hex::encode(raw_signature(&self.tcb_signer.key, info.as_bytes())),
            "qe_identity_issuer_chain": pem(&[&signer, &root]),
            "qe_identity": identity,
            "qe_identity_signature":
                hex::encode(raw_signature(&self.tcb_signer.key, identity.as_bytes())),
        });
        Endorsement {
            media_type: COLLATERAL_TYPE.to_owned(),
            value: to_json(&collateral).into(),
        }
    }

    /// What quotes of version 4 and later have after header and body: the quoting enclave's part is
    /// certification data of its own kind.
    fn nested(&self, signed: &[u8]) -> Vec<u8> {
        let enclave = self.quoting_enclave();
        [
            self.attestation_signature(signed),
            public(&self.attestation),
            vec![6, 0],
            length(&enclave),
            enclave,
        ]
        .concat()
    }

    /// A signature over a quote's header and body, by the platform's attestation key.
    fn attestation_signature(&self, signed: &[u8]) -> Vec<u8> {
        raw_signature(&self.attestation, signed)
    }

    /// The quoting enclave's report, which vouches for the attestation key, and the platform's
    /// certificate, whose key signed it.
    fn quoting_enclave(&self) -> Vec<u8> {
        let authentication = [0x0a; 32];
        let mut vouched = Sha256::new();
        vouched.update(public(&self.attestation));
        vouched.update(authentication);
        let mut report = Vec::with_capacity(384);
        report.extend(CPU_SVN);
        report.extend([0; 32]);
        report.extend([0x11, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0]);
        report.extend([0x9e; 32]);
        report.extend([0; 32]);
        report.extend(QE_SIGNER);
        report.extend([0; 96]);
        report.extend(1u16.to_le_bytes());
        report.extend(8u16.to_le_bytes());
        report.extend([0; 60]);
        report.extend(vouched.finalize());
        report.extend([0; 32]);
        let signature = raw_signature(&self.platform, &report);
        let chain = pem(&[
            &self.certificate(
                "Forged PCK",
                &self.platform_ca,
                &self.platform,
                Role::Platform,
            ),
            &self.platform_ca_certificate(),
            &self.root_certificate(),
        ]);
        [
            report,
            signature,
            (authentication.len() as u16).to_le_bytes().to_vec(),
            authentication.to_vec(),
            vec![5, 0],
            length(chain.as_bytes()),
            chain.into_bytes(),
        ]
        .concat()
    }

    fn root_certificate(&self) -> Vec<u8> {
        self.certificate(&self.root.name, &self.root, &self.root.key, Role::Authority)
    }

    fn platform_ca_certificate(&self) -> Vec<u8> {
        let ca = &self.platform_ca;
        self.certificate(&ca.name, &self.root, &ca.key, Role::Authority)
    }

    fn certificate(
        &self,
        subject: &str,
        issuer: &Authority,
        key: &SigningKey,
        role: Role,
    ) -> Vec<u8> {
        let basic = der::sequence(&[&match role {
            Role::Authority => der::boolean(true),
            _ => Vec::new(),
        }]);
        let usage: &[u8] = match role {
            // keyCertSign and cRLSign; digitalSignature and nonRepudiation.
            Role::Authority => &[0x03, 0x02, 0x01, 0x06],
            _ => &[0x03, 0x02, 0x06, 0xc0],
        };
        let mut extensions = vec![
            der::extension(&der::oid(&[2, 5, 29, 19]), true, &basic),
            der::extension(&der::oid(&[2, 5, 29, 15]), true, usage),
        ];
        if role == Role::Platform {
            extensions.push(der::extension(
                &intel(&[]),
                false,
                &self.platform_extension(),
            ));
        }
        let serial = match role {
            Role::Platform => PLATFORM_SERIAL,
            _ => u64::from(point(key)[1]) + 1,
        };
        let body = der::sequence(&[
            &der::element(0xa0, &der::integer(2)),
            &der::integer(serial),
            &signature_algorithm(),
            &der::name(&issuer.name),
            &der::sequence(&[&der::time(self.good.from), &der::time(self.good.until)]),
            &der::name(subject),
            &der::sequence(&[
                &der::sequence(&[
                    &der::oid(&[1, 2, 840, 10045, 2, 1]),
                    &der::oid(&[1, 2, 840, 10045, 3, 1, 7]),
                ]),
                &der::bits(&point(key)),
            ]),
            &der::element(0xa3, &der::element(0x30, &extensions.concat())),
        ]);
        signed_by(&issuer.key, body)
    }

    /// What Intel's certificate says of a platform.
    fn platform_extension(&self) -> Vec<u8> {
        let entry = |arcs: &[u64], value: &[u8]| der::sequence(&[&intel(arcs), value]);
        let tcb = der::sequence(&[
            &entry(&[2, 17], &der::integer(PCE_SVN)),
            &entry(&[2, 18], &der::octets(&CPU_SVN)),
        ]);
        let configuration = der::sequence(&[
            &entry(&[7, 1], &der::boolean(false)),
            &entry(&[7, 2], &der::boolean(false)),
            &entry(&[7, 3], &der::boolean(self.smt)),
        ]);
        der::sequence(&[
            &entry(&[1], &der::octets(&[0x99; 16])),
            &entry(&[2], &tcb),
            &entry(&[3], &der::octets(&[0, 0])),
            &entry(&[4], &der::octets(&FMSPC)),
            &entry(&[5], &der::element(0x0a, &[1])),
            &entry(&[6], &der::octets(&self.instance)),
            &entry(&[7], &configuration),
        ])
    }

    fn list(
        &self,
        issuer: &Authority,
        revoked: Option<u64>,
        until: Option<UnixSeconds>,
    ) -> Vec<u8> {
        let number = der::extension(
            &der::oid(&[2, 5, 29, 20]),
            false,
            &der::integer(self.list_number),
        );
        let entry = revoked.map(|serial| {
            let entry = der::sequence(&[&der::integer(serial), &der::time(self.good.from)]);
            der::sequence(&[&entry])
        });
        let body = der::sequence(&[
            &der::integer(1),
            &signature_algorithm(),
            &der::name(&issuer.name),
            &der::time(self.good.from),
            &until.map(der::time).unwrap_or_default(),
            &entry.unwrap_or_default(),
            &der::element(0xa0, &der::sequence(&[&number])),
        ]);
        signed_by(&issuer.key, body)
    }

    fn tcb_info(&self, tee: Tee) -> serde_json::Value {
        let components = |svn: u8| -> Vec<_> { (0..16).map(|_| json!({ "svn": svn })).collect() };
        let mut tdx_components = components(0);
        tdx_components[2] = json!({ "svn": self.required_svn });
        let module = json!({
            "mrsigner": "00".repeat(48),
            "attributes": "00".repeat(8),
            "attributesMask": "FF".repeat(8),
        });
        let mut identity = module.clone();
        identity["id"] = json!("TDX_01");
        identity["tcbLevels"] = json!([{
            "tcb": { "isvsvn": 7 },
            "tcbDate": self.good.from.to_string(),
            "tcbStatus": "UpToDate",
        }]);
        let mut info = json!({
            "id": if tee == Tee::Tdx { "TDX" } else { "SGX" },
            "version": 3,
            "issueDate": self.info_good.from.to_string(),
            "nextUpdate": self.info_good.until.to_string(),
            "fmspc": hex::encode_upper(FMSPC),
            "pceId": "0000",
            "tcbType": 0,
            "tcbEvaluationDataNumber": self.evaluation,
            "tcbLevels": [{
                "tcb": {
                    "sgxtcbcomponents": components(self.required_svn),
                    "pcesvn": PCE_SVN,
                    "tdxtcbcomponents": tdx_components,
                },
                "tcbDate": self.good.from.to_string(),
                "tcbStatus": self.status,
                "advisoryIDs": self.advisories,
            }],
        });
        if tee == Tee::Tdx {
            info["tdxModule"] = module;
            info["tdxModuleIdentities"] = json!([identity]);
        }
        info
    }

    fn qe_identity(&self, tee: Tee) -> serde_json::Value {
        json!({
            "id": if tee == Tee::Tdx { "TD_QE" } else { "QE" },
            "version": 2,
            "issueDate": self.identity_good.from.to_string(),
            "nextUpdate": self.identity_good.until.to_string(),
            "tcbEvaluationDataNumber": self.identity_evaluation,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": hex::encode_upper(QE_SIGNER),
            "isvprodid": 1,
            "tcbLevels": [{
                "tcb": { "isvsvn": 8 },
                "tcbDate": self.good.from.to_string(),
                "tcbStatus": "UpToDate",
            }],
        })
    }
}

const PLATFORM_SERIAL: u64 = 0x7001;

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Authority,
    Signer,
    Platform,
}

#[derive(Clone)]
struct Authority {
    name: String,
    key: SigningKey,
}

impl Authority {
    fn new(name: &str, seed: u8, number: u8) -> Self {
        Self {
            name: format!("{name} {seed}"),
            key: key(seed, number),
        }
    }
}

fn key(seed: u8, number: u8) -> SigningKey {
    let mut scalar = [seed; 32];
    scalar[0] = 0;
    scalar[31] = number;
    SigningKey::from_slice(&scalar).expect("a scalar below the order")
}

fn public(key: &SigningKey) -> Vec<u8> {
    point(key)[1..].to_vec()
}

/// The public key as an uncompressed point.
fn point(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
}

fn raw_signature(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: Signature = key.sign(message);
    signature.to_bytes().to_vec()
}

/// A certificate or list: its body, the algorithm, the signature.
fn signed_by(key: &SigningKey, body: Vec<u8>) -> Vec<u8> {
    let signature: Signature = key.sign(&body);
    der::sequence(&[
        &body,
        &signature_algorithm(),
        &der::bits(signature.to_der().as_bytes()),
    ])
}

/// ecdsa-with-SHA256.
fn signature_algorithm() -> Vec<u8> {
    der::sequence(&[&der::oid(&[1, 2, 840, 10045, 4, 3, 2])])
}

/// An identifier below Intel's for SGX.
fn intel(arcs: &[u64]) -> Vec<u8> {
    der::oid(&[&[1, 2, 840, 113_741, 1, 13, 1], arcs].concat())
}

fn header(version: u16, tee: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(48);
    header.extend(version.to_le_bytes());
    header.extend(2u16.to_le_bytes());
    header.extend(tee.to_le_bytes());
    header.extend([0; 4]);
    header.extend(dcap_qvl::INTEL_QE_VENDOR_ID);
    header.extend([0; 20]);
    header
}

fn length(bytes: &[u8]) -> Vec<u8> {
    (bytes.len() as u32).to_le_bytes().to_vec()
}

fn pem(certificates: &[&[u8]]) -> String {
    use x509_cert::der::pem::{LineEnding, encode_string};

    certificates
        .iter()
        .map(|der| encode_string("CERTIFICATE", LineEnding::LF, der).expect("it encodes"))
        .collect()
}
