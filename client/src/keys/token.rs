//! A key inside a PKCS#11 token: AES-256, not extractable, used with `CKM_AES_GCM`.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use mc2_protocol::{crypto::aead::NONCE_LEN, encoding::Hex};
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::{
    error::KeyError,
    keeper::Keeper,
    sealing,
    wrapped::{Under, Wrapped},
};

const TAG_BITS: u64 = 128;
const KEY_LEN: u64 = 32;

/// A keeper whose key is in a token.
///
/// What it wraps is nonce (12, drawn here) ‖ ciphertext ‖ tag, as of every other keeper here.
pub struct Token {
    session: Mutex<Session>,
    token: String,
    key: String,
    id: Hex<16>,
    handle: ObjectHandle,
}

impl Token {
    /// Makes a new key of the label `key` in the token of the label `token`, which the PKCS#11
    /// module `module` (a shared library) knows. The key can be used and never read out.
    ///
    /// # Errors
    /// [`KeyError`], by name.
    pub fn make(
        module: &Path,
        token: &str,
        key: &str,
        pin: &Zeroizing<String>,
    ) -> Result<Self, KeyError> {
        let session = session(module, token, pin)?;
        let mut id = [0; 16];
        crate::random().fill_bytes(&mut id);
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(KEY_LEN.into()),
            Attribute::Label(key.as_bytes().to_vec()),
            Attribute::Id(id.to_vec()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
        ];
        let handle = session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .map_err(refused(token, "make a key"))?;
        Ok(Self {
            session: Mutex::new(session),
            token: token.to_owned(),
            key: key.to_owned(),
            id: Hex(id),
            handle,
        })
    }

    /// The key that `under` names, in a token the PKCS#11 module `module` knows.
    ///
    /// # Errors
    /// [`KeyError`], by name.
    pub fn find(module: &Path, under: &Under, pin: &Zeroizing<String>) -> Result<Self, KeyError> {
        let Under::Pkcs11 { token, key, id } = under else {
            return Err(KeyError::OtherKeeper {
                found: under.in_words(),
                expected: "a PKCS#11 token".to_owned(),
            });
        };
        let session = session(module, token, pin)?;
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Id(id.0.to_vec()),
        ];
        let found = session
            .find_objects(&template)
            .map_err(refused(token, "look for the key"))?;
        let [handle] = found.as_slice() else {
            return Err(KeyError::NoKey {
                token: token.clone(),
                key: key.clone(),
                id: format!("{id:?}"),
            });
        };
        Ok(Self {
            handle: *handle,
            session: Mutex::new(session),
            token: token.clone(),
            key: key.clone(),
            id: *id,
        })
    }

    fn under(&self) -> Under {
        Under::Pkcs11 {
            token: self.token.clone(),
            key: self.key.clone(),
            id: self.id,
        }
    }
}

impl Keeper for Token {
    fn wrap(&self, purpose: &[u8], secret: &[u8]) -> Result<Wrapped, KeyError> {
        sealing::measured(secret)?;
        let mut nonce = sealing::fresh_nonce();
        let mut sealed = nonce.to_vec();
        let data = sealing::associated_data(purpose);
        let failed = || refused(&self.token, "wrap a secret");
        let gcm = GcmParams::new(&mut nonce, &data, TAG_BITS.into()).map_err(failed())?;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let ciphertext = session
            .encrypt(&Mechanism::AesGcm(gcm), self.handle, secret)
            .map_err(failed())?;
        sealed.extend_from_slice(&ciphertext);
        Ok(Wrapped::new(self.under(), sealed))
    }

    fn unwrap(&self, purpose: &[u8], wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if *wrapped.under() != self.under() {
            return Err(KeyError::OtherKeeper {
                found: wrapped.under().in_words(),
                expected: self.under().in_words(),
            });
        }
        let not_opened = || KeyError::NotOpened {
            under: self.under().in_words(),
        };
        let (nonce, sealed) = wrapped
            .sealed()
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(not_opened)?;
        let mut nonce = *nonce;
        let data = sealing::associated_data(purpose);
        let failed = || refused(&self.token, "unwrap a secret");
        let gcm = GcmParams::new(&mut nonce, &data, TAG_BITS.into()).map_err(failed())?;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        match session.decrypt(&Mechanism::AesGcm(gcm), self.handle, sealed) {
            Ok(secret) => Ok(Zeroizing::new(secret)),
            // What tokens say where a tag does not hold; SoftHSM says the second.
            Err(Error::Pkcs11(
                RvError::EncryptedDataInvalid
                | RvError::GeneralError
                | RvError::EncryptedDataLenRange,
                _,
            )) => Err(not_opened()),
            Err(error) => Err(failed()(error)),
        }
    }
}

/// A session with the one token of that label, logged in.
fn session(module: &Path, token: &str, pin: &Zeroizing<String>) -> Result<Session, KeyError> {
    // Its module would bring another C library along than this program's own, which ends the process.
    if cfg!(target_feature = "crt-static") {
        return Err(KeyError::Static {
            module: module.to_owned(),
        });
    }
    let pkcs11 = Pkcs11::new(module).map_err(of_module(module, "load"))?;
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(of_module(module, "start")(error)),
    }
    let slot = slot(&pkcs11, module, token)?;
    let session = pkcs11
        .open_rw_session(slot)
        .map_err(refused(token, "open a session"))?;
    let pin = AuthPin::new(pin.as_str().into());
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => Err(KeyError::WrongPin {
            token: token.to_owned(),
        }),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(KeyError::PinLocked {
            token: token.to_owned(),
        }),
        Err(error) => Err(refused(token, "log in")(error)),
    }
}

fn slot(pkcs11: &Pkcs11, module: &Path, token: &str) -> Result<Slot, KeyError> {
    let listing = || of_module(module, "list the tokens of");
    let mut labels = Vec::new();
    let mut slots = Vec::new();
    for slot in pkcs11.get_slots_with_token().map_err(listing())? {
        let info = pkcs11.get_token_info(slot).map_err(listing())?;
        if info.label() == token {
            slots.push(slot);
        }
        labels.push(format!("{:?}", info.label()));
    }
    match slots.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(KeyError::NoToken {
            token: token.to_owned(),
            found: labels.join(", "),
        }),
        several => Err(KeyError::SameLabel {
            token: token.to_owned(),
            found: several.len(),
        }),
    }
}

fn of_module(module: &Path, doing: &'static str) -> impl FnOnce(Error) -> KeyError {
    let module: PathBuf = module.to_owned();
    move |source| KeyError::Module {
        doing,
        module,
        source: Box::new(source),
    }
}

fn refused(token: &str, doing: &'static str) -> impl FnOnce(Error) -> KeyError {
    let token = token.to_owned();
    move |source| KeyError::Token {
        token,
        doing,
        source: Box::new(source),
    }
}
