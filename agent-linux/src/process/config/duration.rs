//! Durations as Go writes them: `30s`, `1h2m3.5s`, `250ms`.

use std::fmt;

/// Why a text is no duration; displays as Go's own message does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// No sequence of numbers with units, or more nanoseconds than fit (292 years).
    Invalid(String),
    /// A number without a unit.
    MissingUnit(String),
    /// A unit that is none of `ns us ms s m h`.
    UnknownUnit {
        /// What stood where the unit belongs.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl fmt::Display for DurationError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Invalid(text) => write!(out, "time: invalid duration {text:?}"),
            DurationError::MissingUnit(text) => write!(out, "time: missing unit in duration {text:?}"),
            DurationError::UnknownUnit { unit, text } => {
                write!(out, "time: unknown unit {unit:?} in duration {text:?}")
            }
        }
    }
}

impl std::error::Error for DurationError {}

/// Nanoseconds in `text`: an optional sign, then one or more decimal numbers, each with its unit. `0` needs none.
/// Fractions of a nanosecond are cut off.
///
/// # Errors
/// [`DurationError`]; an empty text is invalid.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let scale = nanoseconds(unit)
            .ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() })?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total += i128::from(whole) * scale + fraction_of(fraction, scale);
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// A duration as Go writes it.
pub fn show(span: std::time::Duration) -> String {
    let nanos = span.as_nanos();
    let decimal = |unit: u128, name: &str| {
        let digits = unit.ilog10() as usize;
        let fraction = format!("{:0digits$}", nanos % unit);
        let number = format!("{}.{fraction}", nanos / unit);
        format!("{}{name}", number.trim_end_matches('0').trim_end_matches('.'))
    };
    match span.as_secs() {
        0 if nanos == 0 => "0s".to_owned(),
        0 if nanos < 1_000 => format!("{nanos}ns"),
        0 if nanos < 1_000_000 => decimal(1_000, "us"),
        0 => decimal(1_000_000, "ms"),
        1..60 => decimal(1_000_000_000, "s"),
        seconds => {
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            let rest = show(span - std::time::Duration::from_secs(seconds - seconds % 60));
            let rest = if seconds % 60 == 0 { "0s".to_owned() } else { rest };
            if hours > 0 { format!("{hours}h{minutes}m{rest}") } else { format!("{minutes}m{rest}") }
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `0.digits` of `scale`. No unit is finer than 18 digits can tell, so what follows them is left out.
fn fraction_of(digits: &str, scale: i128) -> i128 {
    let digits = &digits[..digits.len().min(18)];
    let numerator: i128 = digits.parse().unwrap_or(0);
    numerator * scale / 10_i128.pow(digits.len() as u32)
}

fn nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        // Both Unicode letters for micro are in use.
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, show};

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("30s", 30_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("250ms", 250_000_000),
            ("7us", 7_000),
            ("7µs", 7_000),
            ("7μs", 7_000),
            ("1.9ns", 1),
            (".5m", 30_000_000_000),
            ("1.s", 1_000_000_000),
            ("-5s", -5_000_000_000),
            ("+5s", 5_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("0.100000000000000000000000000009s", 100_000_000),
        ] {
            assert_eq!(parse(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        use std::time::Duration;
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5us"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (86_400_000_000_000, "24h0m0s"),
            (3_661_250_000_000, "1h1m1.25s"),
        ] {
            assert_eq!(show(Duration::from_nanos(nanos)), text);
            assert_eq!(parse(text), Ok(nanos as i64));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_in_gos_words() {
        for (text, message) in [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            ("xx", r#"time: invalid duration "xx""#),
            (".s", r#"time: invalid duration ".s""#),
            ("1s-", r#"time: unknown unit "s-" in duration "1s-""#),
            ("30", r#"time: missing unit in duration "30""#),
            ("5q", r#"time: unknown unit "q" in duration "5q""#),
            ("99999999h", r#"time: invalid duration "99999999h""#),
            ("99999999999999999999s", r#"time: invalid duration "99999999999999999999s""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
