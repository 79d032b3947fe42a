//! An authority of timestamps that `openssl` plays, which has to be installed.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a helper that fails ends its test"
)]

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::UnixSeconds;

/// A key on P-256, for OpenSSL.
pub const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
/// On P-384.
pub const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
/// For RSA.
pub const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";

const CONFIGURATION: &str = "
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
[short-root]
basicConstraints = critical,CA:true,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
[other-root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
extendedKeyUsage = serverAuth
[signer]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[without-usage]
extendedKeyUsage = critical,timeStamping
[no-purpose]
keyUsage = critical,digitalSignature
[two-purposes]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping,codeSigning
[not-critical]
keyUsage = critical,digitalSignature
extendedKeyUsage = timeStamping
[encrypts]
keyUsage = critical,keyEncipherment
extendedKeyUsage = critical,timeStamping
[issues]
basicConstraints = critical,CA:true
extendedKeyUsage = critical,timeStamping
[ts]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha1, sha256, sha384, sha512
accuracy = secs:1, millisecs:500
ess_cert_id_alg = sha256
[ts-sha1]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha1
";

/// A folder with an authority in it: keys, certificates, and what they signed.
pub struct Timestamper(TempDir);

impl Timestamper {
    /// A root `root` on P-256 and a signer `signer` under it, for these bytes of a receipt.
    pub fn new(receipt: &[u8]) -> Self {
        let authority = Self::empty(receipt);
        authority.root("root", "root");
        authority.issue("signer", "root", "signer", 3650);
        authority
    }

    /// Nobody yet.
    pub fn empty(receipt: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("conf"), CONFIGURATION).unwrap();
        fs::write(folder.path().join("serial"), "01\n").unwrap();
        fs::write(folder.path().join("receipt"), receipt).unwrap();
        Self(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs OpenSSL in the folder, and returns whether it says that all is well.
    pub fn openssl(&self, arguments: &str) -> bool {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.path())
            .env("OPENSSL_CONF", "conf")
            .output()
            .expect("openssl is installed");
        if !output.status.success() {
            println!("{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    }

    /// A file of the folder.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }

    /// Makes a key.
    pub fn key(&self, name: &str, kind: &str) {
        assert!(self.openssl(&format!("genpkey {kind} -out {name}.key")));
    }

    /// Makes a root on P-256, with these extensions of the configuration.
    pub fn root(&self, name: &str, extensions: &str) {
        self.key(name, P256);
        assert!(self.openssl(&format!(
            "req -new -x509 -config conf -key {name}.key -subj /CN={name} -days 7300 -extensions \
             {extensions} -out {name}.pem"
        )));
    }

    /// The certificate of a new key on P-256.
    pub fn issue(&self, name: &str, issuer: &str, extensions: &str, days: u64) {
        self.key(name, P256);
        self.certify(name, issuer, extensions, days);
    }

    /// The certificate of a key that is there.
    pub fn certify(&self, name: &str, issuer: &str, extensions: &str, days: u64) {
        assert!(self.openssl(&format!(
            "req -new -config conf -key {name}.key -subj /CN={name} -out {name}.csr"
        )));
        assert!(self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days \
             {days} -extfile conf -extensions {extensions} -out {name}.pem"
        )));
    }

    /// The response of `signer` about the receipt, in `response`.
    pub fn respond(&self, signer: &str, query: &str, reply: &str) -> Vec<u8> {
        assert!(self.openssl(&format!(
            "ts -query -config conf -data receipt {query} -out query"
        )));
        assert!(self.openssl(&format!(
            "ts -reply -config conf -queryfile query -signer {signer}.pem -inkey {signer}.key \
             {reply} -out response"
        )));
        self.read("response")
    }

    /// A token of `signer` that says this, whatever its certificate is for.
    pub fn sign(&self, signer: &str, info: &[u8]) -> Vec<u8> {
        fs::write(self.path().join("info"), info).unwrap();
        assert!(self.openssl(&format!(
            "cms -sign -binary -nodetach -cades -md sha256 -econtent_type 1.2.840.113549.1.9.16.1.4 \
             -in info -signer {signer}.pem -inkey {signer}.key -outform DER -out token"
        )));
        self.read("token")
    }

    /// Whether OpenSSL verifies the token as of then.
    pub fn openssl_verifies(
        &self,
        token: &[u8],
        options: &str,
        root: &str,
        at: UnixSeconds,
    ) -> bool {
        fs::write(self.path().join("asked"), token).unwrap();
        self.openssl(&format!(
            "ts -verify -data receipt -in asked {options} -CAfile {root}.pem -attime {}",
            at.0
        ))
    }
}
