//! Who may ring through the gateway: whoever knows the secret.

use fn_hyper::HttpCall;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use workbench::Deadline;

use crate::App;

/// The header that carries the secret.
pub const SECRET_HEADER: &str = "x-siem-tick";

/// Whether `call` carries the secret, compared in constant time.
///
/// A caller is a stranger, too, where no secret is configured or the vault does not give it: the log tells which.
pub(crate) async fn knows_secret(app: &App, call: &HttpCall, deadline: Deadline) -> bool {
    let Some(cell) = &app.config.gateway_secret else {
        tracing::error!("a call came through the gateway, but gateway_secret is not configured: refused");
        return false;
    };
    let mut given = call.headers.get_all(SECRET_HEADER).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        tracing::warn!(
            header = SECRET_HEADER,
            "a call through the gateway does not carry the secret header once: refused"
        );
        return false;
    };
    // A rotated secret is asked for again, once: that costs a stranger's call one more read of the vault.
    for _ in 0..2 {
        match cell.value(&app.config.connection.client, deadline).await {
            Ok(secret) if secret.expose_secret().as_bytes().ct_eq(given.as_bytes()).into() => return true,
            Ok(_) if cell.may_have_changed() => {}
            Ok(_) => break,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "gateway_secret cannot be read: refused");
                return false;
            }
        }
    }
    tracing::warn!("a call through the gateway carries a wrong secret: refused");
    false
}
