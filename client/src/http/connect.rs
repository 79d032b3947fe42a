//! Connections: TCP, TLS over TCP, Unix sockets.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use mc2_wire::{Address, Connect, Stream};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{HostAddress, proxy::Proxy};
use crate::exit::Exit;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to one host, over TLS where its address says so.
pub(super) struct Connector {
    address: HostAddress,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    proxy: Option<Proxy>,
}

impl Connector {
    pub(super) fn new(address: &HostAddress, trust: &Trust) -> Result<Self, ConnectError> {
        Self::through(address, trust, None)
    }

    /// The same, through a proxy.
    pub(super) fn through(
        address: &HostAddress,
        trust: &Trust,
        proxy: Option<Proxy>,
    ) -> Result<Self, ConnectError> {
        let HostAddress::Tcp {
            name, tls: true, ..
        } = address
        else {
            return Ok(Self {
                address: address.clone(),
                tls: None,
                proxy,
            });
        };
        let server = ServerName::try_from(name.clone()).map_err(|source| ConnectError::Name {
            name: name.clone(),
            source,
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            // ring's suites cover both versions.
            .unwrap_or_else(|error| unreachable!("{error}"))
            .with_root_certificates(roots(trust)?)
            .with_no_client_auth();
        Ok(Self {
            address: address.clone(),
            tls: Some((TlsConnector::from(Arc::new(config)), server)),
            proxy,
        })
    }

    fn unreachable(&self, source: io::Error) -> ConnectError {
        ConnectError::Unreachable {
            address: self.address.to_string(),
            source,
        }
    }

    async fn open(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let unreachable = |source| self.unreachable(source);
        let (name, port) = match &self.address {
            HostAddress::Unix(path) => {
                let address = Address::Unix(path.clone());
                return address.connect().await.map_err(unreachable);
            }
            HostAddress::Tcp { name, port, .. } => (name.as_str(), *port),
        };
        let stream = match &self.proxy {
            Some(proxy) => proxy.connect(name, port).await,
            None => TcpStream::connect((name, port)).await,
        };
        let stream = stream.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some((tls, server)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        match tls.connect(server.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => Err(ConnectError::Tls {
                address: self.address.to_string(),
                source,
            }),
        }
    }
}

impl Connect for Connector {
    type Error = ConnectError;

    async fn connect(&self) -> Result<Box<dyn Stream>, ConnectError> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.open())
            .await
            .unwrap_or_else(|_| Err(self.unreachable(io::ErrorKind::TimedOut.into())))
    }
}

/// Whose certificates a host may have.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Those this system trusts.
    #[default]
    System,
    /// Those of the authorities in this PEM file, and no other.
    File(PathBuf),
}

fn roots(trust: &Trust) -> Result<RootCertStore, ConnectError> {
    let mut store = RootCertStore::empty();
    let (from, reason) = match trust {
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            let reason = found.errors.first().map(ToString::to_string);
            ("this system".to_owned(), reason)
        }
        Trust::File(path) => {
            let from = path.display().to_string();
            let refused = |reason: String| ConnectError::Roots {
                from: from.clone(),
                reason,
            };
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| refused(error.to_string()))?;
                store
                    .add(certificate)
                    .map_err(|error| refused(error.to_string()))?;
            }
            (from, None)
        }
    };
    if store.is_empty() {
        let reason = reason.unwrap_or_else(|| "there is none".to_owned());
        return Err(ConnectError::Roots { from, reason });
    }
    Ok(store)
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host cannot be reached.
    #[error(
        "cannot reach the host {address}; check the address and that `mc2-host serve` runs there"
    )]
    Unreachable {
        /// Its address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// No TLS connection.
    #[error(
        "the host {address} has no certificate that is trusted here; name its authority with --host-ca FILE"
    )]
    Tls {
        /// Its address.
        address: String,
        /// What rustls said.
        source: io::Error,
    },
    /// A name no certificate can be for.
    #[error("{name:?} is not a name a certificate can be for")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: InvalidDnsNameError,
    },
    /// A token that is none.
    #[error(
        "the variable MC2_TOKEN holds no token: expected letters, digits and signs without a space"
    )]
    Token,
    /// Certificates of authorities that cannot be read.
    #[error("cannot read certificates of authorities from {from}: {reason}")]
    Roots {
        /// Where they are.
        from: String,
        /// What is wrong.
        reason: String,
    },
}

impl ConnectError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Roots { .. } | Self::Name { .. } | Self::Token => Exit::BadInput,
            _ => Exit::HostUnreachable,
        }
    }

    /// Whether trying again may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
