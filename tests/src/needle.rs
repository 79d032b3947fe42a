//! Secrets to look for, in every spelling that is likely.

use mc2_protocol::encoding::Base64;

/// Bytes to look for, in every spelling that is likely.
#[derive(Clone)]
pub struct Needle {
    /// What they are, for whoever reads that they were found.
    pub what: String,
    spellings: Vec<Vec<u8>>,
}

impl Needle {
    /// The secret as it is, in hexadecimal, and in base64 at every alignment.
    pub fn new(what: &str, secret: &[u8]) -> Self {
        let mut spellings = vec![secret.to_vec(), hex::encode(secret).into_bytes()];
        // Base64 at every alignment, without what its neighbours have a part in.
        for shift in 0..3 {
            let shifted = [&vec![0; shift][..], secret].concat();
            let text = serde_json::to_string(&Base64::from(shifted)).expect("JSON");
            let text = text.trim_matches('"').trim_end_matches('=');
            let inner = &text[(shift * 4).div_ceil(3)..text.len() - 2];
            spellings.push(inner.as_bytes().to_vec());
            let url = inner.replace('+', "-").replace('/', "_");
            spellings.push(url.into_bytes());
        }
        let what = what.to_owned();
        Self { what, spellings }
    }

    /// The secret as it is.
    pub fn raw(what: &str, secret: &[u8]) -> Self {
        Self {
            what: what.to_owned(),
            spellings: vec![secret.to_vec()],
        }
    }

    /// Whether any spelling is in `seen`.
    pub fn is_in(&self, seen: &[u8]) -> bool {
        self.find_in(seen).is_some()
    }

    /// Where in `seen` the first spelling that is there stands, and its length.
    pub fn find_in(&self, seen: &[u8]) -> Option<(usize, usize)> {
        self.spellings
            .iter()
            .find_map(|spelling| Some((find(seen, spelling)?, spelling.len())))
    }
}

/// Whether `wanted`, which is not empty, is in `bytes`.
pub fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    assert!(!wanted.is_empty(), "nothing is everywhere");
    memchr::memmem::find(bytes, wanted)
}
