//! How does an ssh-agent sign for us? The library's own signer asks for SHA-1 with RSA keys, and its session spins for
//! ever when an agent refuses; this one does neither.

use cryptovec::CryptoVec;
use std::{path::Path, pin::Pin, time::Duration};
use thrussh_keys::{
    agent::client::AgentClient,
    encoding::{Encoding, Reader},
    key::PublicKey,
};
use tokio::{net::UnixStream, time::timeout};

/// A connection to an agent that can be used to authenticate.
pub(crate) struct AgentSigner {
    client: Option<AgentClient<UnixStream>>,
    patience: Duration,
}

/// Connects to an agent and lists its ed25519 and RSA keys.
pub(crate) async fn connect(socket: &Path, patience: Duration) -> Result<(AgentSigner, Vec<PublicKey>), String> {
    let work = async {
        let mut client = AgentClient::connect_uds(socket).await?;
        let keys = client.request_identities().await?;
        Ok::<_, thrussh_keys::Error>((client, keys))
    };
    let (client, keys) = match timeout(patience, work).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Err("it does not answer".into()),
    };
    Ok((AgentSigner { client: Some(client), patience }, keys))
}

impl thrussh::Signer for AgentSigner {
    type Error = thrussh::AgentAuthError;
    type Future = Pin<Box<dyn Future<Output = (Self, Result<CryptoVec, Self::Error>)> + Send>>;

    // Never an error: the session would wait for a signature for ever, at full speed. A signature that cannot be right
    // makes the server say no instead.
    fn auth_publickey_sign(mut self, key: &PublicKey, to_sign: CryptoVec) -> Self::Future {
        let algorithm = key.name();
        let request = with_algorithm(&to_sign, algorithm).unwrap_or(to_sign);
        let unsigned = request.clone();
        let signing = self.client.take().map(|client| client.sign_request(key, request));
        Box::pin(async move {
            let signed = match signing {
                Some(signing) => timeout(self.patience, signing).await.ok(),
                None => None,
            };
            let signed = signed.and_then(|(client, signed)| {
                self.client = Some(client);
                signed.ok().filter(|signed| signed.len() > unsigned.len())
            });
            (self, Ok(signed.unwrap_or_else(|| with_wrong_signature(unsigned, algorithm))))
        })
    }
}

/// The library asks for `ssh-rsa`, which is SHA-1; servers want the name of the hash that is meant.
fn with_algorithm(to_sign: &[u8], algorithm: &str) -> Option<CryptoVec> {
    let mut reader = to_sign.reader(0);
    let session = reader.read_string().ok()?;
    let message = reader.read_byte().ok()?;
    let (user, service, method) = (reader.read_string().ok()?, reader.read_string().ok()?, reader.read_string().ok()?);
    let signed = reader.read_byte().ok()?;
    let _asked_for = reader.read_string().ok()?;
    let key = reader.read_string().ok()?;
    let mut out = CryptoVec::new();
    out.extend_ssh_string(session);
    out.push(message);
    for part in [user, service, method] {
        out.extend_ssh_string(part);
    }
    out.push(signed);
    out.extend_ssh_string(algorithm.as_bytes());
    out.extend_ssh_string(key);
    Some(out)
}

fn with_wrong_signature(mut request: CryptoVec, algorithm: &str) -> CryptoVec {
    let mut signature = Vec::new();
    signature.extend_ssh_string(algorithm.as_bytes());
    signature.extend_ssh_string(&[0; 64]);
    request.extend_ssh_string(&signature);
    request
}
