//! Which events a handler wants.

use crate::agent::model::{Event, MemberEventKind};

/// One filter of a handler's spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `*`, or nothing: every event.
    Any,
    /// Member events of one kind.
    Member(MemberEventKind),
    /// `user`, or `user:NAME`: user events, all or of one name.
    User(Option<String>),
    /// `query`, or `query:NAME`: queries, all or of one name.
    Query(Option<String>),
}

impl Filter {
    /// Reads one filter; `None` if Serf knows none of that name. An empty NAME is no restriction.
    pub fn parse(text: &str) -> Option<Filter> {
        let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        Some(match text {
            "" | "*" => Filter::Any,
            "member-join" => Filter::Member(MemberEventKind::Join),
            "member-leave" => Filter::Member(MemberEventKind::Leave),
            "member-failed" => Filter::Member(MemberEventKind::Failed),
            "member-update" => Filter::Member(MemberEventKind::Update),
            "member-reap" => Filter::Member(MemberEventKind::Reap),
            "user" => Filter::User(None),
            "query" => Filter::Query(None),
            other => match other.split_once(':')? {
                ("user", rest) => Filter::User(name(rest)),
                ("query", rest) => Filter::Query(name(rest)),
                _ => return None,
            },
        })
    }

    /// Whether the handler is to run for `event`.
    pub fn matches(&self, event: &Event) -> bool {
        match (self, event) {
            (Filter::Any, _) => true,
            (Filter::Member(wanted), Event::Member { kind, .. }) => wanted == kind,
            (Filter::User(None), Event::User { .. }) => true,
            (Filter::User(Some(wanted)), Event::User { name, .. }) => wanted.as_bytes() == name,
            (Filter::Member(_) | Filter::User(_) | Filter::Query(_), _) => false,
        }
    }

    /// Serf's two names of the filter, as `serf info` joins them with a colon.
    pub fn labels(&self) -> (&str, &str) {
        match self {
            Filter::Any => ("*", ""),
            Filter::Member(kind) => (kind.as_str(), ""),
            Filter::User(name) => ("user", name.as_deref().unwrap_or("")),
            Filter::Query(name) => ("query", name.as_deref().unwrap_or("")),
        }
    }
}
