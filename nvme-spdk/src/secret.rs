//! Secrets in the formats in which they are handed around, checked before SPDK sees them.
//!
//! SPDK says of a key that it does not like no more than that; and what is wrong with one is mostly a character
//! that was lost on the way, which its CRC-32 tells.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// A text that is not shown, and overwritten when it is dropped.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

/// What a kind of secret looks like.
pub(crate) struct Format {
    what: &'static str,
    prefix: &'static str,
    hashes: &'static [&'static str],
    lengths: &'static [usize],
    /// How to make one.
    maker: &'static str,
}

/// NVMe TCP Transport Specification, "PSK Interchange Format".
pub(crate) const TLS_PSK: Format = Format {
    what: "TLS pre-shared key",
    prefix: "NVMeTLSkey-1:",
    hashes: &["00", "01", "02"],
    lengths: &[32, 48],
    maker: "nvme gen-tls-key",
};

/// NVMe base specification, "DH-HMAC-CHAP Security Requirements", the secret's representation.
pub(crate) const DHCHAP_KEY: Format = Format {
    what: "DH-HMAC-CHAP key",
    prefix: "DHHC-1:",
    hashes: &["00", "01", "02", "03"],
    lengths: &[32, 48, 64],
    maker: "nvme gen-dhchap-key",
};

/// Behind the key, of the key, little-endian.
const CRC: usize = 4;

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// For C, with its NUL.
    pub(crate) fn to_c(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len() + 1));
        bytes.extend_from_slice(self.0.as_bytes());
        bytes.push(0);
        bytes
    }

    /// Whether it is in this format, and arrived whole. Errors do not repeat it.
    pub(crate) fn check(&self, format: &Format) -> Result<()> {
        format.check(&self.0).map_err(|why| {
            let Format { what, prefix, maker, .. } = format;
            Error::InvalidArgument(format!(
                "this is no {what}: {why}; write it as {prefix}01:<Base64>: ({maker} makes one)"
            ))
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Format {
    fn check(&self, text: &str) -> std::result::Result<(), String> {
        let rest = text.strip_prefix(self.prefix).ok_or(format!("it does not begin with {}", self.prefix))?;
        let rest = rest.strip_suffix(':').ok_or("it does not end with a colon")?;
        let (hash, encoded) =
            rest.split_once(':').ok_or("there is no colon between its hash and its Base64")?;
        if !self.hashes.contains(&hash) {
            return Err(format!("its hash is none of {}", self.hashes.join(", ")));
        }
        let decoded = BASE64.decode(encoded).map(Zeroizing::new);
        let decoded = decoded.map_err(|_| "what is between the last two colons is no Base64")?;
        let length = decoded.len().checked_sub(CRC).filter(|length| self.lengths.contains(length));
        let length = length.ok_or_else(|| {
            let lengths: Vec<_> = self.lengths.iter().map(usize::to_string).collect();
            let (all, lengths) = (decoded.len(), lengths.join(" or "));
            format!("its Base64 stands for {all} bytes, not for {lengths} and the {CRC} of their CRC-32")
        })?;
        let (key, crc) = decoded.split_at(length);
        if crc32fast::hash(key).to_le_bytes() != crc {
            return Err("its CRC-32 does not fit: a character was lost or mistyped".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with another implementation than this one.
    const PSKS: [&str; 3] = [
        "NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:",
        "NVMeTLSkey-1:01:YzrPElk4OYy1uUERriPwiiyEJE/+J5ckYpLB+5NHMsR2iBuT:",
        "NVMeTLSkey-1:02:FTFds4vH4utVcfrOforxbrWIgv+Qq4GQHgMdWwzDdDxE1bAqK2mOoyXxmbJxGeueEVVa/Q==:",
    ];
    const DHCHAP: &str = "DHHC-1:01:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

    #[track_caller]
    fn refused(format: &Format, text: &str, word: &str) {
        let error = Secret::new(text).check(format).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(format.maker), "{error}");
        // Nothing of the secret.
        for part in text.split(':').filter(|part| part.len() > 8 && !format.prefix.starts_with(part)) {
            assert!(!error.contains(part), "{error}");
        }
    }

    #[test]
    fn keys_that_others_made() {
        for psk in PSKS {
            Secret::new(psk).check(&TLS_PSK).unwrap();
        }
        Secret::new(DHCHAP).check(&DHCHAP_KEY).unwrap();
        let key = [0x5a; 64];
        let whole = [&key[..], &crc32fast::hash(&key).to_le_bytes()].concat();
        let made = format!("DHHC-1:03:{}:", BASE64.encode(whole));
        Secret::new(made).check(&DHCHAP_KEY).unwrap();
    }

    #[test]
    fn what_is_wrong_with_others() {
        let psk = PSKS[1];
        refused(&TLS_PSK, "", "begin with NVMeTLSkey-1:");
        refused(&TLS_PSK, DHCHAP, "begin with NVMeTLSkey-1:");
        refused(&DHCHAP_KEY, psk, "begin with DHHC-1:");
        refused(&TLS_PSK, &psk[..psk.len() - 1], "end with a colon");
        refused(&TLS_PSK, "NVMeTLSkey-1:01:", "no colon between");
        refused(&TLS_PSK, &psk.replace(":01:", ":03:"), "hash is none of 00, 01, 02");
        refused(&TLS_PSK, &psk.replace(":01:", ":1:"), "hash is none of");
        refused(&TLS_PSK, &psk.replace('/', "_"), "no Base64");
        refused(&TLS_PSK, &psk.replace("/+J5c", "/+"), "no Base64");
        refused(&TLS_PSK, "NVMeTLSkey-1:01:AAAA:", "stands for 3 bytes, not for 32 or 48");
        refused(&TLS_PSK, &psk.replace("YzrP", "YzrQ"), "CRC-32 does not fit");
        refused(&DHCHAP_KEY, &DHCHAP.replace("ia6z", "ia6y"), "CRC-32 does not fit");
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::new(DHCHAP);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(*secret.to_c(), [DHCHAP.as_bytes(), b"\0"].concat());
    }
}
