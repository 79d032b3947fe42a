//! How many bytes are kept, of whom, and how many a client may still send.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http::StatusCode;

use super::entry::Kept;
use crate::{
    config::{Quota, Token},
    refusal::Refusal,
    store::records::Table,
    transfer::Side,
    waiting::lock,
};

/// All bytes that count; a clone is the same.
#[derive(Clone)]
pub(super) struct Accounts {
    quota: Quota,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    objects: u64,
    components: u64,
    /// Bytes of objects and of components that clients have on their way, or are allowed to send.
    staged: [u64; 2],
    /// Bytes of all these that were sent with each token, by its name.
    holders: HashMap<String, u64>,
}

impl Counts {
    const fn bytes(&mut self, table: Table) -> &mut u64 {
        match table {
            Table::Components => &mut self.components,
            _ => &mut self.objects,
        }
    }

    const fn staged(&mut self, table: Table) -> &mut u64 {
        match table {
            Table::Components => &mut self.staged[1],
            _ => &mut self.staged[0],
        }
    }

    fn give_back(&mut self, holder: &str, bytes: u64) {
        if let Some(held) = self.holders.get_mut(holder) {
            *held -= bytes;
            if *held == 0 {
                self.holders.remove(holder);
            }
        }
    }
}

impl Accounts {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            counts: Arc::default(),
        }
    }

    /// Bytes of all objects and of all components.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let counts = lock(&self.counts);
        (counts.objects, counts.components)
    }

    /// Counts what is stored.
    pub(super) fn add(&self, table: Table, kept: &Kept) {
        let mut counts = lock(&self.counts);
        *counts.bytes(table) += kept.bytes;
        if let Some(holder) = &kept.holder {
            *counts.holders.entry(holder.clone()).or_default() += kept.bytes;
        }
    }

    /// Counts no more what was stored.
    pub(super) fn take(&self, table: Table, kept: &Kept) {
        let mut counts = lock(&self.counts);
        *counts.bytes(table) -= kept.bytes;
        if let Some(holder) = &kept.holder {
            counts.give_back(holder, kept.bytes);
        }
    }

    /// Lets a peer send so many bytes, which count until what is returned is dropped. What jobs leave
    /// is never refused, because their runs are spent.
    ///
    /// # Errors
    /// 507 `quota`: it would be more than is kept of all clients, or of this one's token.
    pub(super) fn reserve(
        &self,
        payer: &Payer,
        table: Table,
        bytes: u64,
    ) -> Result<Reserved, Refusal> {
        let mut reserved = Reserved {
            accounts: self.clone(),
            table,
            holder: payer.holder(),
            bytes: 0,
        };
        if payer.side == Side::Runtime {
            return Ok(reserved);
        }
        let mut counts = lock(&self.counts);
        let (most, what) = match table {
            Table::Components => (self.quota.component_bytes, "components"),
            _ => (self.quota.object_bytes, "objects"),
        };
        let used = counts.bytes(table).saturating_add(*counts.staged(table));
        if let Some(most) = most.filter(|most| used.saturating_add(bytes) > *most) {
            return Err(full(format!(
                "this host keeps at most {most} bytes of {what}, and has {used}"
            )));
        }
        if let Some(token) = &payer.token {
            let used = counts.holders.get(&token.name).copied().unwrap_or(0);
            let most = token.bytes;
            if let Some(most) = most.filter(|most| used.saturating_add(bytes) > *most) {
                return Err(full(format!(
                    "this host keeps at most {most} bytes of the token {:?}, and has {used}",
                    token.name
                )));
            }
        }
        reserved.count(&mut counts, bytes);
        Ok(reserved)
    }

    /// Counts bytes of an upload that is there already, for the token of this name.
    pub(super) fn found(&self, bytes: u64, holder: Option<String>) -> Reserved {
        let mut found = Reserved {
            accounts: self.clone(),
            table: Table::Objects,
            holder,
            bytes: 0,
        };
        found.count(&mut lock(&self.counts), bytes);
        found
    }

    /// How many tokens something counts for.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        lock(&self.counts).holders.len()
    }
}

/// Who stores something.
#[derive(Clone, Debug)]
pub(crate) struct Payer {
    pub(crate) side: Side,
    /// The token that was shown.
    pub(crate) token: Option<Arc<Token>>,
}

impl Payer {
    /// The token's name.
    pub(in crate::store) fn holder(&self) -> Option<String> {
        self.token.as_ref().map(|token| token.name.clone())
    }
}

/// Bytes that count for a client until this is dropped.
pub(in crate::store) struct Reserved {
    accounts: Accounts,
    table: Table,
    /// The name of the token that they count for.
    holder: Option<String>,
    bytes: u64,
}

impl Reserved {
    fn count(&mut self, counts: &mut Counts, bytes: u64) {
        self.bytes = bytes;
        *counts.staged(self.table) += bytes;
        if let Some(holder) = &self.holder {
            *counts.holders.entry(holder.clone()).or_default() += bytes;
        }
    }

    fn give_back(&mut self, bytes: u64) {
        let mut counts = lock(&self.accounts.counts);
        self.bytes -= bytes;
        *counts.staged(self.table) -= bytes;
        if let Some(holder) = &self.holder {
            counts.give_back(holder, bytes);
        }
    }

    /// Keeps no more than so many of them.
    pub(in crate::store) fn shrink_to(&mut self, bytes: u64) {
        self.give_back(self.bytes.saturating_sub(bytes));
    }

    /// Takes another's over, if they count for the same.
    pub(in crate::store) fn absorb(&mut self, mut other: Self) -> Option<Self> {
        if self.table != other.table || self.holder != other.holder {
            return Some(other);
        }
        self.bytes += std::mem::take(&mut other.bytes);
        None
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

fn full(message: String) -> Refusal {
    let message = format!("{message}: nothing more is taken until some are removed");
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "quota", message)
}
