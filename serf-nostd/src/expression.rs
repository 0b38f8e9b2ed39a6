//! Expressions for the values of tags: those of a device, and whose else a node may speak.

/// A function from expression and value. See [`crate::Config::tag_matcher`].
#[derive(Clone, Copy, Debug)]
pub struct TagMatcher(pub fn(&str, &str) -> Option<bool>);

#[cfg(feature = "defmt")]
impl defmt::Format for TagMatcher {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "TagMatcher");
    }
}

/// The expressions of a device: a part of RE2's, found anywhere in the value. Known are plain characters, `.`, `*` behind one of
/// those, `^` at the beginning and `$` at the end; `None` for any other sign that means something to RE2.
pub fn matches(expression: &str, value: &str) -> Option<bool> {
    let (anchored, expression) = match expression.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, expression),
    };
    let inner = expression.strip_suffix('$').unwrap_or(expression);
    let known = |c: char| !"\\[](){}|+?^$".contains(c);
    if !inner.chars().all(known) || inner.starts_with('*') || inner.contains("**") {
        return None;
    }
    // One step for each place and each sign at most, as long as there are few stars: that bounds both.
    if inner.matches('*').count() > 2 {
        return None;
    }
    let (expression, value) = (expression.as_bytes(), value.as_bytes());
    let last = if anchored { 0 } else { value.len() };
    Some((0..=last).any(|at| here(expression, &value[at..])))
}

/// Whether an expression matches at the beginning of a text (Kernighan and Pike, The Practice of Programming, section 9.2).
fn here(expression: &[u8], text: &[u8]) -> bool {
    match expression {
        [] => true,
        [b'$'] => text.is_empty(),
        [sign, b'*', rest @ ..] => {
            let run = text.iter().take_while(|byte| *sign == b'.' || **byte == *sign).count();
            (0..=run).any(|at| here(rest, &text[at..]))
        }
        [sign, rest @ ..] => {
            text.split_first().is_some_and(|(byte, text)| (*sign == b'.' || byte == sign) && here(rest, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_device_s_expressions_are_a_part_of_re2_s() {
        for (expression, value, expected) in [
            ("", "", Some(true)),
            ("web", "web", Some(true)),
            ("web", "a web server", Some(true)),
            ("^web", "a web", Some(false)),
            ("web$", "web1", Some(false)),
            ("^w.b$", "wob", Some(true)),
            ("w.*b", "w b", Some(true)),
            ("^a*$", "aaa", Some(true)),
            ("^a*$", "aab", Some(false)),
            ("^$", "", Some(true)),
            ("$", "x", Some(true)),
            ("web|db", "web", None),
            ("[a]", "a", None),
            ("a+", "a", None),
            ("*a", "a", None),
            ("a\\.", "a.", None),
            ("a*b*c*", "abc", None),
        ] {
            assert_eq!(matches(expression, value), expected, "{expression:?} and {value:?}");
        }
    }
}
