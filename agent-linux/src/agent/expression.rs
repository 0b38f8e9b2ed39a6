//! Regular expressions that come from anyone: bounded in size, and with that in time.

use std::cell::RefCell;

use regex::{Regex, RegexBuilder};
use serf_nostd::TagMatcher;

/// Longest expression, in bytes: it is read whole before it is known how much it compiles to.
const MAX_EXPRESSION: usize = 4096;

/// Most memory for one compiled expression, in bytes; bounds the time for a text as well.
const MAX_COMPILED: usize = 64 * 1024;

/// Compiles an expression that is to be found somewhere in a text.
///
/// # Errors
/// A text for the user, which names the expression at fault.
pub fn anywhere(text: &str) -> Result<Regex, String> {
    compile(text, text)
}

/// Compiles an expression that has to match a whole text.
///
/// # Errors
/// A text for the user, which names the expression at fault.
pub fn whole(text: &str) -> Result<Regex, String> {
    // Alone first: `a)(b` is only valid within the parentheses that follow.
    compile(text, text)?;
    compile(&format!("^(?:{text})$"), text)
}

fn compile(expression: &str, text: &str) -> Result<Regex, String> {
    if text.len() > MAX_EXPRESSION {
        return Err(format!("Regular expression too long, at most {MAX_EXPRESSION} bytes are allowed"));
    }
    let compiled = RegexBuilder::new(expression).size_limit(MAX_COMPILED).build();
    compiled.map_err(|error| {
        // The last of several lines says what is wrong; those before it show where.
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default();
        let why = why.trim_start_matches("error: ").trim_end_matches('.');
        format!("Invalid regular expression '{text}': {why}")
    })
}

/// Finds the expressions of queries in the values of tags.
pub const TAG_MATCHER: TagMatcher = TagMatcher(found);

fn found(expression: &str, value: &str) -> Option<bool> {
    thread_local! {
        /// The last one: a query's is held against all members, one after the other.
        static LAST: RefCell<Option<(String, Option<Regex>)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(known, _)| known != expression) {
            *last = Some((expression.to_owned(), anywhere(expression).ok()));
        }
        let regex = last.as_ref().and_then(|(_, regex)| regex.as_ref())?;
        Some(regex.is_match(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_of_a_query_is_found_anywhere_and_a_broken_one_tells_nothing() {
        for (expression, value, expected) in [
            ("eb", "web", Some(true)),
            ("^(web|db)[0-9]+$", "db12", Some(true)),
            ("^(web|db)[0-9]+$", "db12x", Some(false)),
            ("", "", Some(true)),
            (r"^\pL+\d$", "\u{e4}\u{f6}7", Some(true)),
            ("(?i)^\u{e4}$", "\u{c4}", Some(true)),
            ("(", "(", None),
        ] {
            assert_eq!(found(expression, value), expected, "{expression}");
        }
        assert_eq!(found(&"x".repeat(MAX_EXPRESSION + 1), ""), None);
        let large = anywhere(r"(?:\w?){200}z").unwrap_err();
        assert!(large.ends_with("exceeds size limit of 65536 bytes"), "{large}");
    }

    #[test]
    fn whole_texts_are_matched_from_end_to_end() {
        assert!(whole("a|bc").unwrap().is_match("bc"));
        assert!(!whole("a|bc").unwrap().is_match("abc"));
        assert!(whole("a)(b").unwrap_err().starts_with("Invalid regular expression 'a)(b'"));
    }
}
