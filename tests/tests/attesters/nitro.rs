//! The Nitro Secure Module behind `/dev/nsm`, with another's CBOR.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use coset::cbor::{de::from_reader, ser::into_writer, value::Value};
use mc2_attestation::test_util::forger::Nitro as Forger;
use mc2_protocol::evidence::Register384;

use super::machine::{Caller, Device, Errno, Parts};

/// The first register that is the enclave's own.
const FIRST: usize = 16;
const NSM_RAW: u32 = 0xc020_0a00;

/// The module, and the registers that the enclave may extend.
pub(crate) struct Module {
    registers: Mutex<[(Register384, bool); 16]>,
    /// Answers nothing but this word.
    refuses: Option<&'static str>,
    /// Whether documents are given, and how many wait for one.
    stall: Mutex<(bool, usize)>,
    goes_on: Condvar,
}

impl Module {
    /// One that was just started.
    pub(crate) fn new() -> Self {
        Self {
            registers: Mutex::new([(Register384::default(), false); 16]),
            refuses: None,
            stall: Mutex::default(),
            goes_on: Condvar::new(),
        }
    }

    /// Gives no more documents, or goes on.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stall.lock().expect("never poisoned").0 = stalled;
        self.goes_on.notify_all();
    }

    /// How many wait for a document.
    pub(crate) fn stalled(&self) -> usize {
        self.stall.lock().expect("never poisoned").1
    }

    /// One that refuses everything with this word.
    pub(crate) fn refusing(code: &'static str) -> Self {
        Self {
            refuses: Some(code),
            ..Self::new()
        }
    }

    /// In its place.
    pub(crate) fn put(parts: Parts, module: &Arc<Self>) -> Parts {
        let device: Arc<dyn Device> = Arc::<Self>::clone(module);
        parts.file("dev/nsm", device)
    }

    /// PCR16, and whether it is locked.
    pub(crate) fn tenant(&self) -> ([u8; 48], bool) {
        let (register, locked) = self.registers()[0];
        (register.0, locked)
    }

    fn wait(&self) {
        let mut stall = self.stall.lock().expect("never poisoned");
        stall.1 += 1;
        while stall.0 {
            stall = self.goes_on.wait(stall).expect("never poisoned");
        }
        stall.1 -= 1;
    }

    fn registers(&self) -> [(Register384, bool); 16] {
        *self.locked_registers()
    }

    fn locked_registers(&self) -> MutexGuard<'_, [(Register384, bool); 16]> {
        self.registers.lock().expect("never poisoned")
    }

    fn answer(&self, request: &[u8]) -> Option<Value> {
        if let Some(code) = self.refuses {
            return Some(map([("Error", text(code))]));
        }
        let Value::Map(mut named) = from_reader(request).ok()? else {
            return None;
        };
        let (name, fields) = named.pop().filter(|_| named.is_empty())?;
        let name = name.into_text().ok()?;
        let field = |wanted: &str| {
            let fields = fields.as_map()?.iter();
            let mut found = fields.filter(|(name, _)| name.as_text() == Some(wanted));
            found.next().map(|(_, value)| value.clone())
        };
        if name == "Attestation" {
            self.wait();
            let user_data = field("user_data")?.into_bytes().ok()?;
            let mut forger = Forger::genuine();
            // Documents hold what is locked.
            let registers = self.registers().into_iter().enumerate();
            for (index, (register, _)) in registers.filter(|(_, (_, locked))| *locked) {
                let index = u8::try_from(FIRST + index).ok()?;
                forger.pcrs.push((index, register.0.to_vec()));
            }
            let document = forger.sign(&user_data).evidence.value.0;
            let document = map([("document", Value::Bytes(document))]);
            return Some(map([("Attestation", document)]));
        }
        let index: u64 = field("index")?.into_integer().ok()?.try_into().ok()?;
        let index = usize::try_from(index).ok()?.checked_sub(FIRST)?;
        let mut registers = self.locked_registers();
        let (register, locked) = registers.get_mut(index)?;
        match name.as_str() {
            "DescribePCR" => {
                let data = Value::Bytes(register.0.to_vec());
                let fields = map([("lock", Value::Bool(*locked)), ("data", data)]);
                Some(map([("DescribePCR", fields)]))
            }
            "ExtendPCR" if *locked => Some(map([("Error", text("ReadOnlyIndex"))])),
            "ExtendPCR" => {
                register.extend(&field("data")?.into_bytes().ok()?);
                let data = Value::Bytes(register.0.to_vec());
                Some(map([("ExtendPCR", map([("data", data)]))]))
            }
            "LockPCR" => {
                *locked = true;
                Some(text("LockPCR"))
            }
            _ => None,
        }
    }
}

impl Device for Module {
    fn read(&self, _opening: u64, _offset: u64) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn ioctl(&self, caller: &Caller, request: u32, argument: &[u8]) -> Result<Vec<u8>, Errno> {
        if request != NSM_RAW {
            return Err(Errno::EINVAL);
        }
        let numbers: Vec<u64> = argument
            .chunks_exact(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
            .collect();
        let [asked, asked_len, answer, answer_len] = numbers[..] else {
            return Err(Errno::EINVAL);
        };
        let asked = caller.read(asked, usize::try_from(asked_len).expect("small"))?;
        let said = self.answer(&asked);
        let said = said.unwrap_or_else(|| map([("Error", text("InvalidArgument"))]));
        let mut bytes = Vec::new();
        into_writer(&said, &mut bytes).expect("a vector takes all");
        if bytes.len() as u64 > answer_len {
            return Err(Errno::EMSGSIZE);
        }
        caller.write(answer, &bytes)?;
        let mut argument = argument.to_vec();
        argument[24..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        Ok(argument)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter();
    Value::Map(fields.map(|(name, value)| (text(name), value)).collect())
}
