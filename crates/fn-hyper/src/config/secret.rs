//! A secret's value in the configuration.

use secrecy::SecretString;

/// The value of a key that holds a secret. `Debug` does not show plain text.
#[derive(Debug, Clone)]
pub enum Secret {
    /// OCID of a vault secret whose current bundle is the value.
    Vault(String),
    /// The secret itself; whoever may read the function's configuration can read it.
    Plain(SecretString),
}

impl Secret {
    /// Tells the two apart by the OCID's beginning. An OCID of something else is never the secret itself.
    pub(crate) fn parse(value: String) -> Result<Self, &'static str> {
        if value.starts_with("ocid1.vaultsecret.") {
            Ok(Self::Vault(value))
        } else if value.starts_with("ocid1.") {
            Err("expected the OCID of a vault secret (ocid1.vaultsecret.…)")
        } else {
            Ok(Self::Plain(value.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_plain_text() {
        let shown = format!("{:?}", Secret::parse("hush-hush".to_owned()));
        assert!(shown.contains("Plain") && !shown.contains("hush"), "{shown}");
    }
}
