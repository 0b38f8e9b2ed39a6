//! Expressions that the values of tags are held against: the ones that a device evaluates, and the function by which a node that
//! evaluates others brings its own.

/// A function from expression and value. See [`crate::Config::tag_matcher`].
#[derive(Clone, Copy, Debug)]
pub struct TagMatcher(pub fn(&str, &str) -> Option<bool>);

#[cfg(feature = "defmt")]
impl defmt::Format for TagMatcher {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "TagMatcher");
    }
}

/// Most signs of an expression that a device evaluates.
const SIGNS: usize = 63;

/// The expressions of a device: a part of RE2's, found anywhere in the value. Known are plain characters, `.`, `*` behind one of
/// those, `^` at the beginning and `$` at the end, 63 characters or dots at most; `None` for any other sign that means something to
/// RE2, and if there are more. The work is that of 64 steps for each character of the value.
pub fn matches(expression: &str, value: &str) -> Option<bool> {
    let (anchored, expression) = match expression.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, expression),
    };
    let (to_end, expression) = match expression.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, expression),
    };
    // Each sign, and whether it may come any number of times.
    let mut signs = heapless::Vec::<(char, bool), SIGNS>::new();
    for sign in expression.chars() {
        match signs.last_mut() {
            Some((_, starred @ false)) if sign == '*' => *starred = true,
            _ if "\\[](){}|+?^$*".contains(sign) => return None,
            _ => signs.push((sign, false)).ok()?,
        }
    }
    // Bit `i`: the first `i` signs fit what has been looked at so far (Thompson, Regular Expression Search Algorithm, 1968).
    let skip_starred = |mut fit: u64| {
        for (i, (_, starred)) in signs.iter().enumerate() {
            fit |= (*starred as u64 & fit >> i) << (i + 1);
        }
        fit
    };
    let done = 1 << signs.len();
    let mut fit = skip_starred(1);
    for c in value.chars() {
        if fit & done != 0 && !to_end {
            return Some(true);
        }
        let mut next = !anchored as u64;
        for (i, (sign, starred)) in signs.iter().enumerate() {
            if fit >> i & 1 == 1 && (*sign == c || *sign == '.' && c != '\n') {
                next |= 1 << (i + !*starred as usize);
            }
        }
        fit = skip_starred(next);
    }
    Some(fit & done != 0)
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
            ("^a*b*c*$", "aabcc", Some(true)),
            ("^a*b*c*$", "abca", Some(false)),
            ("^.*a.$", "xaay", Some(true)),
            ("^z.rich$", "z\u{fc}rich", Some(true)),
            ("^\u{e9}*$", "\u{e9}\u{e9}", Some(true)),
            ("a**", "a", None),
            (".\n", "\n\n", Some(false)),
        ] {
            assert_eq!(matches(expression, value), expected, "{expression:?} and {value:?}");
        }
    }
}
