//! Which members `members-filtered` means.

use std::collections::BTreeMap;

use regex::Regex;

use super::message::MembersFiltered;
use crate::agent::expression::whole;
use crate::agent::model::Member;

/// Compiled conditions; a member has to meet all of them.
#[derive(Debug)]
pub struct Selection {
    name: Option<Regex>,
    status: Option<Regex>,
    tags: BTreeMap<String, Regex>,
}

/// Most tags that one selection may look at.
const MAX_TAGS: usize = 64;

impl Selection {
    /// Compiles the conditions of a request. Each expression has to match the whole text.
    ///
    /// # Errors
    /// A text for the user, which names the expression at fault.
    pub fn new(request: &MembersFiltered) -> Result<Selection, String> {
        if request.tags.len() > MAX_TAGS {
            return Err(format!("Too many tag filters, at most {MAX_TAGS} are allowed"));
        }
        let optional = |text: &str| if text.is_empty() { Ok(None) } else { whole(text).map(Some) };
        Ok(Selection {
            name: optional(&request.name)?,
            status: optional(&request.status)?,
            tags: request
                .tags
                .iter()
                .map(|(key, text)| Ok((key.clone(), whole(text)?)))
                .collect::<Result<_, String>>()?,
        })
    }

    /// Whether the member meets all conditions. A tag that it lacks counts as empty.
    pub fn takes(&self, member: &Member) -> bool {
        let meets = |regex: &Option<Regex>, text| regex.as_ref().is_none_or(|regex| regex.is_match(text));
        meets(&self.name, &member.name)
            && meets(&self.status, member.status.as_str())
            && self.tags.iter().all(|(key, regex)| {
                let value = member.tags.get(key).map_or("", String::as_str);
                regex.is_match(value)
            })
    }
}
