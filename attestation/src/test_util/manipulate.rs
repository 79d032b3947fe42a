//! Breaks a session in one way, and where the attacker could, signs again.

use mc2_protocol::documents::record::{SessionRecord, report_data};

use super::factory::Session;
use crate::tee::sim;

impl Session {
    /// What a lying runtime does: another record, with evidence that fits it.
    #[must_use]
    pub fn with_record(mut self, change: impl FnOnce(&mut SessionRecord)) -> Self {
        change(&mut self.record);
        self.record_bytes = self.record.to_bytes();
        self.signed_again()
    }

    /// Another record's bytes, whatever they are, with evidence that fits them.
    #[must_use]
    pub fn with_record_bytes(mut self, bytes: Vec<u8>) -> Self {
        self.record_bytes = bytes;
        self.signed_again()
    }

    /// What a host does: other bytes of the record with the evidence it has.
    #[must_use]
    pub fn with_swapped_record(mut self, change: impl FnOnce(&mut SessionRecord)) -> Self {
        change(&mut self.record);
        self.record_bytes = self.record.to_bytes();
        self
    }

    /// Fresh evidence over record and nonce by the session's simulator.
    #[must_use]
    pub fn signed_again(mut self) -> Self {
        let report_data = report_data(&self.record_bytes, &self.nonce);
        self.evidence = sim::evidence(&report_data, &self.measurement, &self.sim_key);
        self
    }

    /// One bit of the evidence flipped.
    #[must_use]
    pub fn with_flipped_evidence(mut self, byte: usize) -> Self {
        let len = self.evidence.value.0.len();
        self.evidence.value.0[byte % len] ^= 1;
        self
    }
}
