//! Values as Go's `%#v` prints them, which is how `serf monitor` shows events.

use crate::rpc::client::Record;
use crate::rpc::message::{Member, MemberRecord, UserRecord};

/// The fields of a record, one per line, by name.
pub(super) fn fields(record: &Record) -> String {
    let fields = match record {
        Record::Member(MemberRecord { event, members }) => {
            let members: Vec<String> = members.iter().map(member).collect();
            vec![
                ("Event", text(event.as_bytes())),
                ("Members", format!("[]interface {{}}{{{}}}", members.join(", "))),
            ]
        }
        Record::User(UserRecord { coalesce, ltime, name, payload: bytes }) => vec![
            ("Coalesce", coalesce.to_string()),
            ("Event", text(b"user")),
            ("LTime", number(*ltime)),
            ("Name", text(name)),
            ("Payload", payload(bytes)),
        ],
        Record::Query { id, ltime, name, payload: bytes } => vec![
            ("Event", text(b"query")),
            ("ID", number(*id)),
            ("LTime", number(*ltime)),
            ("Name", text(name)),
            ("Payload", payload(bytes)),
        ],
    };
    fields.iter().map(|(key, value)| format!("\t{key}: {value}")).collect::<Vec<_>>().join("\n")
}

fn member(member: &Member) -> String {
    let tags: Vec<String> = member
        .tags
        .iter()
        .map(|(key, value)| format!("{}:{}", text(key.as_bytes()), text(value.as_bytes())))
        .collect();
    let fields = [
        ("Addr", format!("[]uint8{{{}}}", hex(&member.addr))),
        ("DelegateCur", number(member.delegate_cur.into())),
        ("DelegateMax", number(member.delegate_max.into())),
        ("DelegateMin", number(member.delegate_min.into())),
        ("Name", text(member.name.as_bytes())),
        ("Port", number(member.port.into())),
        ("ProtocolCur", number(member.protocol_cur.into())),
        ("ProtocolMax", number(member.protocol_max.into())),
        ("ProtocolMin", number(member.protocol_min.into())),
        ("Status", text(member.status.as_bytes())),
        ("Tags", format!("map[interface {{}}]interface {{}}{{{}}}", tags.join(", "))),
    ];
    let fields = fields.map(|(key, value)| format!("\"{key}\":{value}"));
    format!("map[interface {{}}]interface {{}}{{{}}}", fields.join(", "))
}

/// Small numbers travel as signed ones and Go shows those in decimal, the others in hexadecimal.
fn number(value: u64) -> String {
    if value < 128 { value.to_string() } else { format!("{value:#x}") }
}

fn payload(bytes: &[u8]) -> String {
    if bytes.is_empty() { "<nil>".to_owned() } else { format!("[]byte{{{}}}", hex(bytes)) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:#x}")).collect::<Vec<_>>().join(", ")
}

fn text(bytes: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => quoted += "\\\"",
                '\\' => quoted += "\\\\",
                '\x07' => quoted += "\\a",
                '\x08' => quoted += "\\b",
                '\x0c' => quoted += "\\f",
                '\n' => quoted += "\\n",
                '\r' => quoted += "\\r",
                '\t' => quoted += "\\t",
                '\x0b' => quoted += "\\v",
                control if control.is_ascii_control() => quoted += &format!("\\x{:02x}", u32::from(control)),
                control if control.is_control() => quoted += &format!("\\u{:04x}", u32::from(control)),
                plain => quoted.push(plain),
            }
        }
        chunk.invalid().iter().for_each(|byte| quoted += &format!("\\x{byte:02x}"));
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_event_looks_as_in_go() {
        let record = Record::User(UserRecord {
            coalesce: false,
            ltime: 300,
            name: b"x\xff\"\n".to_vec(),
            payload: vec![0xfe, 0x3c],
        });
        assert_eq!(
            fields(&record),
            "\tCoalesce: false\n\tEvent: \"user\"\n\tLTime: 0x12c\n\tName: \"x\\xff\\\"\\n\"\n\tPayload: []byte{0xfe, 0x3c}"
        );
    }

    #[test]
    fn a_member_event_looks_as_in_go() {
        let member = Member {
            addr: vec![127, 0, 0, 1],
            name: "ga2".to_owned(),
            port: 24103,
            status: "alive".to_owned(),
            delegate_cur: 5,
            ..Member::default()
        };
        let record = Record::Member(MemberRecord { event: "member-join".to_owned(), members: vec![member] });
        let expected = "\tEvent: \"member-join\"\n\tMembers: []interface {}{map[interface {}]interface {}{\
            \"Addr\":[]uint8{0x7f, 0x0, 0x0, 0x1}, \"DelegateCur\":5, \"DelegateMax\":0, \"DelegateMin\":0, \
            \"Name\":\"ga2\", \"Port\":0x5e27, \"ProtocolCur\":0, \"ProtocolMax\":0, \"ProtocolMin\":0, \
            \"Status\":\"alive\", \"Tags\":map[interface {}]interface {}{}}}";
        assert_eq!(fields(&record), expected);
    }
}
