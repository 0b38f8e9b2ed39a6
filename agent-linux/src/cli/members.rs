//! `serf members`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::connect::{RpcFlags, failed};
use super::{connect, flags, ui};
use crate::agent::log::in_one_line;
use crate::rpc::listing::{Listing, address};
use crate::rpc::message::{Member, MembersFiltered};

/// Lists the members of the cluster as a running agent knows them. Regular expressions have to match the whole text.
#[derive(clap::Parser)]
#[command(override_usage = "serf members [options]")]
pub(super) struct Flags {
    /// Show the versions of the protocol too (in text only)
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    detailed: bool,
    /// Format of the output, 'text' or 'json'. Default is text
    #[arg(long, value_name = "text", default_value = "text")]
    format: String,
    /// Only members whose name matches
    #[arg(long, value_name = "<regexp>", default_value = "")]
    name: String,
    /// Only members whose tag 'role' matches. Deprecated: use -tag role=<regexp>
    #[arg(long, value_name = "<regexp>", default_value = "")]
    role: String,
    /// Only members whose status (alive, leaving, left, failed) matches
    #[arg(long, value_name = "<regexp>", default_value = "")]
    status: String,
    /// Only members whose tag matches; a missing tag counts as empty. May be given for several tags
    #[arg(long, value_name = "<key>=<regexp>")]
    tag: Vec<String>,
    #[command(flatten)]
    rpc: RpcFlags,
    #[arg(hide = true)]
    _ignored: Vec<OsString>,
}

/// Runs the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let flags: Flags = match flags::parse(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let mut tags = match connect::tags(&flags.tag) {
        Ok(tags) => tags,
        Err(code) => return code,
    };
    if !flags.role.is_empty() {
        ui::say("Deprecation warning: 'Role' has been replaced with 'Tags'");
        tags.insert("role".to_owned(), flags.role);
    }
    let conditions = MembersFiltered { tags, status: flags.status, name: flags.name };
    flags.rpc.run(async |client| match client.members_filtered(&conditions).await {
        Ok(mut members) => {
            members.sort_by(|a, b| a.name.cmp(&b.name));
            ui::print(&flags.format, &Listing::new(&members), || as_text(&members, flags.detailed))
        }
        Err(error) => failed("retrieving members", error),
    })
}

/// Columns, two spaces apart, the last one not padded.
fn as_text(members: &[Member], detailed: bool) -> String {
    let rows = members.iter().map(|member| {
        let tags: Vec<String> = member.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let foreign = |text: &str| in_one_line(text).into_owned();
        let mut row =
            vec![foreign(&member.name), address(member), foreign(&member.status), foreign(&tags.join(","))];
        if detailed {
            row.push(format!("Protocol Version: {}", member.delegate_cur));
            row.push(format!("Available Protocol Range: [{}, {}]", member.delegate_min, member.delegate_max));
        }
        row
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let (last, padded) = row.split_last().expect("a row has columns");
        for (cell, width) in padded.iter().zip(&widths) {
            text += &format!("{cell:<width$}  ");
        }
        text += last;
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, tags: &[(&str, &str)]) -> Member {
        Member {
            addr: vec![127, 0, 0, 1],
            name: name.to_owned(),
            port: 7946,
            status: "alive".to_owned(),
            tags: tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            delegate_cur: 5,
            delegate_max: 5,
            delegate_min: 2,
            ..Member::default()
        }
    }

    #[test]
    fn text_is_in_columns_two_spaces_apart() {
        let members = [member("a", &[]), member("bcd", &[("role", "web"), ("dc", "east|1")])];
        assert_eq!(
            as_text(&members, false),
            "a    127.0.0.1:7946  alive  \nbcd  127.0.0.1:7946  alive  dc=east|1,role=web\n"
        );
        assert_eq!(
            as_text(&members[..1], true),
            "a  127.0.0.1:7946  alive    Protocol Version: 5  Available Protocol Range: [2, 5]\n"
        );
        assert_eq!(as_text(&[], true), "");
        let steering = member("a\u{1b}[2J\n", &[("role", "\t")]);
        assert_eq!(as_text(&[steering], false), "a\\u{1b}[2J\\n  127.0.0.1:7946  alive  role=\\t\n");
    }
}
