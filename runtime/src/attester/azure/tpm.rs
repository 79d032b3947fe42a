//! The commands of a TPM 2.0 that are needed here, as its device takes them ("TPM 2.0 Library",
//! part 3): big-endian, one write a command, and the answer is read.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

use mc2_protocol::evidence::PCRS;

/// Largest answer, in bytes: the kernel's own limit.
const MAX_ANSWER: usize = 4096;
const HEAD: usize = 10;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// Authorisation by an empty password: session, no nonce, no attributes, no password.
const EMPTY_PASSWORD: [u8; 9] = [0x40, 0, 0, 0x09, 0, 0, 0, 0, 0];

const NV_READ: u32 = 0x14e;
const QUOTE: u32 = 0x158;
const NV_READ_PUBLIC: u32 = 0x169;
const PCR_READ: u32 = 0x17e;
const PCR_EXTEND: u32 = 0x182;

const OWNER: u32 = 0x4000_0001;
const SHA256: u16 = 0x000b;
const RSASSA: u16 = 0x0014;
/// PCRs that one answer holds.
const PCRS_AT_ONCE: usize = 8;
/// Bytes of a non-volatile index that one answer holds everywhere.
const NV_AT_ONCE: usize = 512;

/// An open TPM. Its kernel keeps apart what several processes, or openings, do.
pub(super) struct Tpm(File);

impl Tpm {
    /// Opens the device of a TPM behind the kernel's resource manager.
    pub(super) fn open(device: &Path) -> Result<Self, TpmError> {
        Ok(Self(
            OpenOptions::new().read(true).write(true).open(device)?,
        ))
    }

    /// All of a non-volatile index that the owner, whose password is empty, may read; at most
    /// `limit` bytes.
    pub(super) fn nv(&mut self, index: u32, limit: usize) -> Result<Vec<u8>, TpmError> {
        let public = self.run(NV_READ_PUBLIC, &[index], false, &[])?;
        let mut answer = Answer(&public);
        let mut public = Answer(answer.sized()?);
        // Index, algorithm of its name, attributes.
        public.take(4 + 2 + 4)?;
        public.sized()?;
        let length = usize::from(public.u16()?);
        if length > limit {
            return Err(TpmError::Answer);
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let piece = (length - bytes.len()).min(NV_AT_ONCE);
            // Both are below 2^16, as the length is.
            let numbers = [piece as u16, bytes.len() as u16];
            let parameters = numbers.map(u16::to_be_bytes).concat();
            let answer = self.run(NV_READ, &[OWNER, index], true, &parameters)?;
            let read = Answer(&answer).sized()?;
            if read.len() != piece {
                return Err(TpmError::Answer);
            }
            bytes.extend(read);
        }
        Ok(bytes)
    }

    /// What the PCRs of the SHA-256 bank hold.
    pub(super) fn pcrs(&mut self) -> Result<[[u8; 32]; PCRS], TpmError> {
        let mut pcrs = [[0; 32]; PCRS];
        for (part, held) in pcrs.chunks_mut(PCRS_AT_ONCE).enumerate() {
            let mut selected = [0; PCRS / 8];
            selected[part] = 0xff;
            let wanted = selection(selected);
            let answer = self.run(PCR_READ, &[], false, &wanted)?;
            let mut answer = Answer(&answer);
            let _updates = answer.take(4)?;
            if answer.take(wanted.len())? != wanted || answer.u32()? as usize != held.len() {
                return Err(TpmError::Answer);
            }
            for pcr in held {
                let value = answer.sized()?;
                *pcr = value.try_into().map_err(|_| TpmError::Answer)?;
            }
        }
        Ok(pcrs)
    }

    /// Extends a PCR of the SHA-256 bank.
    pub(super) fn extend(&mut self, pcr: u32, digest: &[u8; 32]) -> Result<(), TpmError> {
        let parameters = [&1_u32.to_be_bytes()[..], &SHA256.to_be_bytes(), digest].concat();
        self.run(PCR_EXTEND, &[pcr], true, &parameters)?;
        Ok(())
    }

    /// A quote of all PCRs of the SHA-256 bank over `asked`, by an RSA key whose password is empty:
    /// what was signed, and the signature.
    pub(super) fn quote(&mut self, key: u32, asked: &[u8; 32]) -> Result<Quote, TpmError> {
        let parameters = [
            &32_u16.to_be_bytes()[..],
            asked,
            &RSASSA.to_be_bytes(),
            &SHA256.to_be_bytes(),
            &selection([0xff; PCRS / 8]),
        ];
        let answer = self.run(QUOTE, &[key], true, &parameters.concat())?;
        let mut answer = Answer(&answer);
        let message = answer.sized()?.to_vec();
        if answer.u16()? != RSASSA || answer.u16()? != SHA256 {
            return Err(TpmError::Signature);
        }
        let signature = answer.sized()?.to_vec();
        Ok(Quote { message, signature })
    }

    /// Runs a command; the parameters of its answer.
    fn run(
        &mut self,
        code: u32,
        handles: &[u32],
        authorised: bool,
        parameters: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        let mut body: Vec<u8> = handles
            .iter()
            .flat_map(|handle| handle.to_be_bytes())
            .collect();
        if authorised {
            body.extend((EMPTY_PASSWORD.len() as u32).to_be_bytes());
            body.extend(EMPTY_PASSWORD);
        }
        body.extend(parameters);
        let tag = if authorised { SESSIONS } else { NO_SESSIONS };
        let length = (HEAD + body.len()) as u32;
        let command = [
            &tag.to_be_bytes()[..],
            &length.to_be_bytes(),
            &code.to_be_bytes(),
            &body,
        ]
        .concat();
        if self.0.write(&command)? != command.len() {
            return Err(TpmError::Answer);
        }
        let bytes = self.answer()?;
        let mut answer = Answer(&bytes);
        let (tag, _length, refused) = (answer.u16()?, answer.u32()?, answer.u32()?);
        if refused != 0 {
            return Err(TpmError::Refused { code: refused });
        }
        if !authorised {
            return Ok(answer.0.to_vec());
        }
        let length = answer.u32()?;
        if tag != SESSIONS {
            return Err(TpmError::Answer);
        }
        Ok(answer.take(length as usize)?.to_vec())
    }

    /// One whole answer, whose length is in its head.
    fn answer(&mut self) -> Result<Vec<u8>, TpmError> {
        let mut bytes = vec![0; MAX_ANSWER];
        let mut read = 0;
        loop {
            let more = self.0.read(&mut bytes[read..])?;
            read += more;
            let length = match bytes[..read].get(2..) {
                Some(rest) if read >= HEAD => Answer(rest).u32()? as usize,
                _ => HEAD,
            };
            if read > HEAD - 1 && read == length {
                bytes.truncate(read);
                return Ok(bytes);
            }
            if more == 0 || length > MAX_ANSWER || (read >= HEAD && read > length) {
                return Err(TpmError::Answer);
            }
        }
    }
}

/// A quote.
pub(super) struct Quote {
    /// TPMS_ATTEST.
    pub(super) message: Vec<u8>,
    /// Over it.
    pub(super) signature: Vec<u8>,
}

impl Quote {
    /// What was asked for, and the digest over the PCRs, as far as it is a quote.
    pub(super) fn says(&self) -> Result<(&[u8], &[u8]), TpmError> {
        let mut rest = Answer(&self.message);
        // Magic and kind, then the signer's name.
        rest.take(4 + 2)?;
        rest.sized()?;
        let asked = rest.sized()?;
        // Clock, firmware, and which PCRs: one selection of three bytes.
        rest.take(17 + 8 + selection([0; 3]).len())?;
        Ok((asked, rest.sized()?))
    }
}

/// TPML_PCR_SELECTION: these PCRs of the SHA-256 bank.
fn selection(selected: [u8; PCRS / 8]) -> Vec<u8> {
    let [high, low] = SHA256.to_be_bytes();
    [&[0, 0, 0, 1, high, low, 3][..], &selected].concat()
}

/// Bytes of an answer that were not read yet.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TpmError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TpmError::Answer)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, TpmError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, TpmError> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// Bytes after two of their length (TPM2B).
    fn sized(&mut self) -> Result<&'a [u8], TpmError> {
        let len = usize::from(self.u16()?);
        self.take(len)
    }
}

/// Why a TPM did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(in crate::attester) enum TpmError {
    /// The device.
    #[error(transparent)]
    Device(#[from] io::Error),
    /// It refuses.
    #[error("it refused with the code {code:#x} (TPM_RC)")]
    Refused {
        /// TPM_RC.
        code: u32,
    },
    /// It says something else.
    #[error("its answer is not what the command's is")]
    Answer,
    /// Another kind of signature.
    #[error("its key signs otherwise than with RSASSA and SHA-256")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_says_what_was_asked_and_what_the_pcrs_were() {
        let sized = |bytes: &[u8]| {
            let len = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            [&len, bytes].concat()
        };
        let message = [
            vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18],
            sized(&[1; 34]),
            sized(&[2; 32]),
            vec![0; 25],
            selection([0xff; 3]),
            sized(&[3; 32]),
        ]
        .concat();
        let quote = |message: &[u8]| Quote {
            message: message.to_vec(),
            signature: Vec::new(),
        };
        let whole = quote(&message);
        assert_eq!(whole.says().unwrap(), (&[2; 32][..], &[3; 32][..]));
        for len in 0..message.len() {
            assert!(quote(&message[..len]).says().is_err(), "{len}");
        }
    }
}
