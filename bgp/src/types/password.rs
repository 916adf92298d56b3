//! The shared secret of a session: known to the sockets, shown to nobody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TypeError;

/// The password of TCP-MD5 (RFC 2385), 1-80 octets. Every text form of it is [`Password::SHOWN`].
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Octets of the longest one.
    pub const LONGEST: usize = 80;
    /// What stands for it wherever it would be shown. It is no password itself, so that nobody
    /// loads what was only shown.
    pub const SHOWN: &'static str = "<set>";

    /// The secret itself.
    #[cfg(feature = "io")]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for Password {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Password, TypeError> {
        let legal = (1..=Password::LONGEST).contains(&text.len()) && text != Password::SHOWN;
        if legal { Ok(Password(text.to_owned())) } else { Err(TypeError::Password) }
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Password::SHOWN)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Password::SHOWN)
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(Password::SHOWN)
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Password, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_password_shows_it() {
        let secret: Password = "hunter2".parse().unwrap();
        let peer = crate::speaker::PeerConfig {
            password: Some(secret.clone()),
            ..crate::speaker::PeerConfig::new([10, 0, 0, 2].into(), crate::types::Asn(1))
        };
        let shown =
            format!("{secret} {secret:?} {} {peer:?}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("<set>"), "{shown}");
        assert!(serde_json::from_str::<Password>("\"<set>\"").is_err());
    }

    #[test]
    fn it_has_1_to_80_octets() {
        for (text, legal) in [
            (String::new(), false),
            ("x".to_owned(), true),
            ("x".repeat(80), true),
            ("x".repeat(81), false),
            ("ä".repeat(41), false),
        ] {
            assert_eq!(text.parse::<Password>().is_ok(), legal, "{text}");
        }
    }
}
