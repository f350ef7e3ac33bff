//! What not every SPDK has.

use std::fmt;

use spdk_sys::{shim_feature as raw, shim_support as support};

use crate::error::{Error, Result};
use crate::spdk_version;

/// What only some versions of SPDK have. The rest of this crate works with all of them, from v20.07 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// TLS 1.3 for NVMe/TCP with a pre-shared key in the interchange format, as of v23.05:
    /// [`ConnectOptions::tls_psk`](crate::ConnectOptions::tls_psk).
    TlsPsk,
    /// In-band authentication with DH-HMAC-CHAP, as of v24.05:
    /// [`ConnectOptions::dhchap_key`](crate::ConnectOptions::dhchap_key).
    DhChap,
    /// Sending without copying, as of v21.04:
    /// [`ConnectOptions::zero_copy_send`](crate::ConnectOptions::zero_copy_send).
    ZeroCopySend,
}

impl Feature {
    /// Whether the SPDK that this program was built with has it.
    pub fn is_supported(self) -> bool {
        self.support() == support::SHIM_SUPPORT_THERE
    }

    /// The error for those who ask for what is not there says which SPDK has it.
    pub(crate) fn require(self) -> Result<()> {
        match self.support() {
            support::SHIM_SUPPORT_THERE => Ok(()),
            support::SHIM_SUPPORT_TOO_OLD => {
                Err(Error::Unsupported(too_old(self, spdk_version(), self.since())))
            }
            _ => Err(Error::Unsupported(not_built(self, spdk_version()))),
        }
    }

    fn support(self) -> support::Type {
        // SAFETY: a table, and options of socket implementations that registered before main.
        unsafe { spdk_sys::shim_feature_support(self.raw()) }
    }

    /// As 2305 for v23.05.
    fn since(self) -> u32 {
        // SAFETY: a table.
        unsafe { spdk_sys::shim_feature_since(self.raw()) }
    }

    fn raw(self) -> raw::Type {
        match self {
            Feature::TlsPsk => raw::SHIM_FEATURE_TLS,
            Feature::DhChap => raw::SHIM_FEATURE_DHCHAP,
            Feature::ZeroCopySend => raw::SHIM_FEATURE_ZERO_COPY,
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Feature::TlsPsk => "TLS for NVMe/TCP",
            Feature::DhChap => "DH-HMAC-CHAP authentication",
            Feature::ZeroCopySend => "sending without copying",
        })
    }
}

fn too_old(feature: Feature, this: &str, since: u32) -> String {
    format!(
        "{this} has no {feature}: build against v{}.{:02} or newer, installed with its pkg-config files or named \
         by SPDK_DIR",
        since / 100,
        since % 100
    )
}

fn not_built(feature: Feature, this: &str) -> String {
    format!("this {this} was built without {feature}: build SPDK with OpenSSL and its posix sockets")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Feature; 3] = [Feature::TlsPsk, Feature::DhChap, Feature::ZeroCopySend];

    #[test]
    fn errors_name_the_version_that_is_needed() {
        assert_eq!(
            too_old(Feature::TlsPsk, "SPDK v20.07", 2305),
            "SPDK v20.07 has no TLS for NVMe/TCP: build against v23.05 or newer, installed with its pkg-config files \
             or named by SPDK_DIR"
        );
        assert!(not_built(Feature::TlsPsk, "SPDK v24.09").contains("OpenSSL"));
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks SPDK")]
    fn the_versions_are_those_that_the_documentation_names() {
        assert_eq!(ALL.map(Feature::since), [2305, 2405, 2104]);
        for feature in ALL {
            assert_eq!(feature.require().is_ok(), feature.is_supported(), "{feature}");
        }
    }
}
