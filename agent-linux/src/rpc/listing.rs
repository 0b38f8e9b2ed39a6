//! Members as JSON shows them: `serf members -format=json`, and `/v1/members`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::message::Member;

/// All of them.
#[derive(Serialize)]
pub struct Listing<'a> {
    /// Absent (null) rather than empty, as Go has it.
    members: Option<Vec<Row<'a>>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    addr: String,
    port: u16,
    tags: &'a BTreeMap<String, String>,
    status: &'a str,
    protocol: Protocol,
}

#[derive(Serialize)]
struct Protocol {
    max: u8,
    min: u8,
    version: u8,
}

impl Listing<'_> {
    /// In this order.
    pub fn new(members: &[Member]) -> Listing<'_> {
        let rows: Vec<Row> = members
            .iter()
            .map(|member| Row {
                name: &member.name,
                addr: address(member),
                port: member.port,
                tags: &member.tags,
                status: &member.status,
                protocol: Protocol {
                    max: member.delegate_max,
                    min: member.delegate_min,
                    version: member.delegate_cur,
                },
            })
            .collect();
        Listing { members: Some(rows).filter(|rows| !rows.is_empty()) }
    }
}

/// Where a member is, as all formats show it.
pub fn address(member: &Member) -> String {
    match member.ip() {
        Some(ip) => SocketAddr::new(ip, member.port).to_string(),
        None => format!(":{}", member.port),
    }
}
