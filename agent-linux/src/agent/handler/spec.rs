//! A handler's spec: `[[once:]FILTER[,FILTER...]=]SCRIPT`.

use std::fmt;

use crate::agent::filter::{Filter, InvalidFilter};

/// One script, and the events it is run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// For which events.
    pub filter: Filter,
    /// What `/bin/sh -c` is given.
    pub script: String,
    /// Whether of all members with such a handler only one is to run it.
    pub once: bool,
}

/// What stands before a filter to say so.
const ONCE: &str = "once:";

/// A filter that does not exist, or one that cannot be run once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSpec {
    event: String,
    script: String,
    once: bool,
}

impl fmt::Display for InvalidSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Invalid event script: Event '{}' invoking '{}'", self.event, self.script)?;
        if self.once {
            // Others have no identity by which members could agree on them.
            out.write_str("; 'once:' stands before user or user:NAME")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidSpec {}

impl Spec {
    /// What it is known by in a snapshot, also by other versions of this program: FNV-1a of its filter and script.
    pub(super) fn number(&self) -> u64 {
        let mut text = Vec::new();
        for (kind, name) in self.filter.labels() {
            text.extend_from_slice(kind.as_bytes());
            text.push(b':');
            text.extend_from_slice(name.as_bytes());
        }
        text.push(b'=');
        text.extend_from_slice(self.script.as_bytes());
        text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// Reads a spec. The filters end at the first `=`; each makes an entry of its own, so a script whose spec has
    /// two filters that match the same event runs twice for it, as with Serf. A script that itself contains a `=`
    /// needs a filter before it: `*=A=1 run.sh`. `once:` stands before the list, and is for all of it.
    ///
    /// # Errors
    /// [`InvalidSpec`] for the first filter that does not exist, or with `once:` is for anything but user events.
    pub fn parse(text: &str) -> Result<Vec<Spec>, InvalidSpec> {
        let (filters, script) = text.split_once('=').unwrap_or(("*", text));
        let (filters, once) = match filters.strip_prefix(ONCE) {
            Some(filters) => (filters, true),
            None => (filters, false),
        };
        let invalid = |event| InvalidSpec { event, script: script.to_owned(), once };
        let filter = Filter::parse(filters).map_err(|InvalidFilter(event)| invalid(event))?;
        if once && filter.labels().any(|(kind, _)| kind != "user") {
            return Err(invalid(filters.to_owned()));
        }
        Ok(filter.split().map(|filter| Spec { filter, script: script.to_owned(), once }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Spec;

    fn entries(text: &str) -> Vec<(String, String)> {
        let labelled = |spec: Spec| {
            let labels: Vec<_> = spec.filter.labels().map(|(kind, name)| format!("{kind}:{name}")).collect();
            (format!("{}{}", if spec.once { "once " } else { "" }, labels.join(",")), spec.script)
        };
        Spec::parse(text).unwrap().into_iter().map(labelled).collect()
    }

    #[test]
    fn specs_split_at_the_first_equals_sign_and_expand_their_filters() {
        for (text, expected) in [
            ("run.sh", vec![("*:", "run.sh")]),
            ("=run.sh", vec![("*:", "run.sh")]),
            ("*=A=1 run.sh", vec![("*:", "A=1 run.sh")]),
            ("user:deploy=d.sh", vec![("user:deploy", "d.sh")]),
            ("user:=d.sh", vec![("user:", "d.sh")]),
            ("user,user:x=s", vec![("user:", "s"), ("user:x", "s")]),
            ("member-join,member-leave=m", vec![("member-join:", "m"), ("member-leave:", "m")]),
            ("once:user:a,user=o", vec![("once user:a", "o"), ("once user:", "o")]),
            ("once:x", vec![("*:", "once:x")]),
            ("query,query:load=q", vec![("query:", "q"), ("query:load", "q")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(l, s)| (l.to_string(), s.to_string())).collect();
            assert_eq!(entries(text), expected, "{text}");
        }
    }

    #[test]
    fn unknown_filters_are_named_with_their_script() {
        for (text, message) in [
            ("bogus=foo.sh", "Invalid event script: Event 'bogus' invoking 'foo.sh'"),
            ("user,bogus=foo.sh", "Invalid event script: Event 'bogus' invoking 'foo.sh'"),
            ("FOO=1 cmd", "Invalid event script: Event 'FOO' invoking '1 cmd'"),
            ("user, member-join=x", "Invalid event script: Event ' member-join' invoking 'x'"),
            (
                "once:member-join=x",
                "Invalid event script: Event 'member-join' invoking 'x'; 'once:' stands before user or user:NAME",
            ),
            (
                "once:=x",
                "Invalid event script: Event '' invoking 'x'; 'once:' stands before user or user:NAME",
            ),
            ("Member-Join=x", "Invalid event script: Event 'Member-Join' invoking 'x'"),
        ] {
            assert_eq!(Spec::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
