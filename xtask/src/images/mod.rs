//! What boots in a TEE, made of this source and nothing of this machine's: [`kernel`].

pub(crate) mod kernel;
