//! Which events somebody wants: the filter grammar shared by event handlers and RPC streams.

use std::error::Error;
use std::fmt;

use std::borrow::Cow;

use super::model::{Event, MemberEventKind};

/// A list of filters, joined by commas; an event passes if one of them lets it.
///
/// Known are `*` (everything), `member-join`, `member-leave`, `member-failed`, `member-update`, `member-reap`, `user`,
/// `user:NAME`, `query` and `query:NAME`. Names are exact bytes and hold no comma. An empty list is `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

/// The text is no filter; this one of the list is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFilter(pub String);

impl fmt::Display for InvalidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no filter for events: {:?}", self.0)
    }
}

impl Error for InvalidFilter {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    All,
    Member(MemberEventKind),
    /// An empty name is every name.
    User(Vec<u8>),
    /// The same.
    Query(Vec<u8>),
}

impl Filter {
    /// Reads a list of filters, in the form `user:deploy,member-join`.
    ///
    /// # Errors
    /// If one of them is not in the grammar.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Filter, InvalidFilter> {
        let text = text.as_ref();
        if text.is_empty() {
            return Ok(Filter { terms: vec![Term::All] });
        }
        let terms = text.split(|&byte| byte == b',').map(Term::parse).collect::<Result<_, _>>()?;
        Ok(Filter { terms })
    }

    /// Whether the event passes.
    pub fn matches(&self, event: &Event) -> bool {
        self.terms.iter().any(|term| match (term, event) {
            (Term::All, _) => true,
            (Term::Member(wanted), Event::Member { kind, .. }) => wanted == kind,
            (Term::User(wanted), Event::User { name, .. }) => wanted.is_empty() || wanted == name,
            (Term::Query(wanted), Event::Query(question)) => {
                wanted.is_empty() || wanted == question.name.as_bytes()
            }
            _ => false,
        })
    }

    /// The filters of the list, each by itself.
    pub fn split(self) -> impl Iterator<Item = Filter> {
        self.terms.into_iter().map(|term| Filter { terms: vec![term] })
    }

    /// Serf's two names of each filter of the list, as `serf info` joins them with a colon.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        self.terms.iter().map(|term| match term {
            Term::All => ("*", "".into()),
            Term::Member(kind) => (kind.as_str(), "".into()),
            Term::User(name) => ("user", String::from_utf8_lossy(name)),
            Term::Query(name) => ("query", String::from_utf8_lossy(name)),
        })
    }
}

impl Term {
    fn parse(text: &[u8]) -> Result<Term, InvalidFilter> {
        const MEMBER: [MemberEventKind; 5] = [
            MemberEventKind::Join,
            MemberEventKind::Leave,
            MemberEventKind::Failed,
            MemberEventKind::Update,
            MemberEventKind::Reap,
        ];
        if let Some(kind) = MEMBER.into_iter().find(|kind| kind.as_str().as_bytes() == text) {
            return Ok(Term::Member(kind));
        }
        match text {
            b"*" => Ok(Term::All),
            b"user" => Ok(Term::User(Vec::new())),
            b"query" => Ok(Term::Query(Vec::new())),
            _ => {
                let user = text.strip_prefix(b"user:").map(|name| Term::User(name.to_vec()));
                let query = || text.strip_prefix(b"query:").map(|name| Term::Query(name.to_vec()));
                let unknown = || InvalidFilter(String::from_utf8_lossy(text).into_owned());
                user.or_else(query).ok_or_else(unknown)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Event {
        Event::User { ltime: 1, name: name.into(), payload: Vec::new(), coalesce: false }
    }

    fn member(kind: MemberEventKind) -> Event {
        Event::Member { kind, members: Vec::new() }
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let join = member(MemberEventKind::Join);
        let leave = member(MemberEventKind::Leave);
        for (filter, passes) in [
            ("", [true, true, true, true]),
            ("*", [true, true, true, true]),
            ("user", [true, true, false, false]),
            ("user:", [true, true, false, false]),
            ("user:a", [true, false, false, false]),
            ("user:A", [false, false, false, false]),
            ("member-join", [false, false, true, false]),
            ("member-join,user:b", [false, true, true, false]),
            ("query,query:a", [false, false, false, false]),
        ] {
            let filter = Filter::parse(filter).unwrap();
            assert_eq!(
                [user("a"), user("b"), join.clone(), leave.clone()].map(|e| filter.matches(&e)),
                passes
            );
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (text, fault) in [
            ("users", "users"),
            ("user, user", " user"),
            ("member,user", "member"),
            ("member-join:x", "member-join:x"),
            (",", ""),
            ("user,", ""),
            (" *", " *"),
            ("USER", "USER"),
        ] {
            assert_eq!(Filter::parse(text), Err(InvalidFilter(fault.into())), "{text}");
        }
    }
}
