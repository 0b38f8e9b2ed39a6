//! What operators sign: identities that are kept for it, and signatures. Go's agents know neither.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serf_nostd::wire::message::{Address, EventId};
use serf_nostd::{Reserved, Signature};

use super::lenient::{bytes, nil_as_default};
use super::{ip, refusal};

/// Answer to `reserve-event` and `reserve-query`: the identity that is kept for what an operator is to sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Reservation {
    /// Where the answers to a query go: 4 or 16 bytes; none for an event.
    #[serde(
        serialize_with = "serde_bytes::serialize",
        deserialize_with = "bytes",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub addr: Vec<u8>,
    /// Hash of the cluster's name; 0 if it has none.
    #[serde(deserialize_with = "nil_as_default")]
    pub cluster: u32,
    /// Lamport time.
    #[serde(rename = "LTime", deserialize_with = "nil_as_default")]
    pub ltime: u64,
    /// Hash of the agent's name and start.
    #[serde(deserialize_with = "nil_as_default")]
    pub origin: u64,
    /// The port to `addr`.
    #[serde(deserialize_with = "nil_as_default")]
    pub port: u16,
    /// How long the answers to a query are waited for, in tenths of a second.
    #[serde(deserialize_with = "nil_as_default")]
    pub timeout: u16,
}

/// `reserve-query`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReserveQuery {
    /// How long answers are to be waited for, in nanoseconds; 0: as long as the agent sees fit. Less is refused.
    #[serde(deserialize_with = "nil_as_default")]
    pub timeout: i64,
}

impl From<Reserved> for Reservation {
    fn from(Reserved { id, cluster, answers_to, timeout }: Reserved) -> Reservation {
        let (addr, port) = match SocketAddr::from(answers_to) {
            _ if answers_to == Address::UNSET => (Vec::new(), 0),
            SocketAddr::V4(to) => (to.ip().octets().to_vec(), to.port()),
            SocketAddr::V6(to) => (to.ip().octets().to_vec(), to.port()),
        };
        Reservation { addr, cluster, ltime: id.ltime, origin: id.origin, port, timeout }
    }
}

impl TryFrom<Reservation> for Reserved {
    type Error = &'static str;

    fn try_from(reservation: Reservation) -> Result<Reserved, &'static str> {
        let Reservation { addr, cluster, ltime, origin, port, timeout } = reservation;
        let answers_to = match &addr[..] {
            [] => Address::UNSET,
            addr => {
                let ip: IpAddr = ip(addr).ok_or(refusal::INVALID_SIGNATURE)?;
                SocketAddr::new(ip, port).into()
            }
        };
        Ok(Reserved { id: EventId { ltime, origin }, cluster, answers_to, timeout })
    }
}

/// What an operator has signed: in an event, a query, or an order about keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Signed {
    /// What was reserved for it.
    #[serde(deserialize_with = "nil_as_default")]
    pub reservation: Reservation,
    /// Unix time, in seconds.
    #[serde(deserialize_with = "nil_as_default")]
    pub time: u32,
    /// The first 4 bytes of the public key.
    #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "bytes")]
    pub signer: Vec<u8>,
    /// 64 bytes.
    #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "bytes")]
    pub signature: Vec<u8>,
}

impl From<serf_nostd::Signed> for Signed {
    fn from(serf_nostd::Signed { reserved, signature }: serf_nostd::Signed) -> Signed {
        let Signature { signer, time, bytes } = signature;
        Signed { reservation: reserved.into(), time, signer: signer.to_vec(), signature: bytes.to_vec() }
    }
}

impl TryFrom<Signed> for serf_nostd::Signed {
    type Error = &'static str;

    fn try_from(signed: Signed) -> Result<serf_nostd::Signed, &'static str> {
        let Signed { reservation, time, signer, signature } = signed;
        let parts = signer.try_into().ok().zip(signature.try_into().ok());
        let (signer, bytes) = parts.ok_or(refusal::INVALID_SIGNATURE)?;
        Ok(serf_nostd::Signed {
            reserved: reservation.try_into()?,
            signature: Signature { signer, time, bytes },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_as_it_was() {
        let v4 = SocketAddr::from(([10, 0, 0, 1], 7946));
        let v6 = SocketAddr::new("fd00::1".parse().expect("an address"), 7946);
        for answers_to in [Address::UNSET, v4.into(), v6.into()] {
            let id = EventId { ltime: 3, origin: 1 << 63 };
            let reserved = Reserved { id, cluster: 7, answers_to, timeout: 32 };
            assert_eq!(Reservation::from(reserved).try_into(), Ok(reserved));
        }
        let wrong = Reservation { addr: vec![1, 2, 3], ..Reservation::default() };
        assert_eq!(Reserved::try_from(wrong), Err(refusal::INVALID_SIGNATURE));
    }
}
