//! Who may command the agent: the token of its RPC, and where it may listen without one.

use std::path::Path;

use super::secrets::openness;
use super::show::HIDDEN;
use super::{Config, Secret, Settings};
use crate::rpc::address::Place;
use crate::rpc::token;

/// The token that these settings ask for; empty if they ask for none.
///
/// # Errors
/// They give two, or what is wrong with the file.
pub(super) fn token(settings: &Settings, mut warn: impl FnMut(&str)) -> Result<Secret, String> {
    if settings.rpc_auth.0 == HIDDEN {
        return Err(format!(
            "Invalid rpc_auth: '{HIDDEN}' is what -print-config shows for a token: give the token itself"
        ));
    }
    if settings.rpc_auth_file.is_empty() {
        return Ok(settings.rpc_auth.clone());
    }
    if !settings.rpc_auth.0.is_empty() {
        return Err("rpc_auth and rpc_auth_file (-rpc-auth-file) both give a token: take one out".to_owned());
    }
    let path = Path::new(&settings.rpc_auth_file);
    let token = token::read(path)?;
    if let Some(warning) = openness("RPC token file", path) {
        warn(&warning);
    }
    Ok(Secret(token))
}

impl Config {
    /// Looks up where the RPC is to listen.
    ///
    /// # Errors
    /// The text that Serf prints, or that of [`Config::guard_rpc`].
    pub async fn rpc_place(&self) -> Result<Place, String> {
        let place = self.rpc_addr.resolve().await;
        let place = place.map_err(|error| format!("Error starting RPC listener: listen tcp: {error}"))?;
        self.guard_rpc(&place)?;
        Ok(place)
    }

    /// Whether these settings let an agent answer at `place`: not to everybody, unless that is what is wanted.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn guard_rpc(&self, place: &Place) -> Result<(), String> {
        if !place.is_public() || !self.rpc_auth.0.is_empty() || self.rpc_allow_unauthenticated {
            return Ok(());
        }
        Err(format!(
            "Error starting RPC listener: listen {place}: whoever can reach that could command the agent. Ask for a \
             token (-rpc-auth-file=PATH, or rpc_auth in a configuration file), listen on 127.0.0.1 or on \
             -rpc-addr=unix:/run/serf/rpc.sock, or let everybody in with -rpc-allow-unauthenticated"
        ))
    }
}
