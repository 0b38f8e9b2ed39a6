//! How benchmarks show figures: tables in Markdown, of what was measured and of what is to be reached.
#![allow(dead_code, reason = "several benchmarks share this module, each uses its own part")]

/// What a figure has to be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Shown for information.
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// The head of a table: a title, and columns of which all but the first `left` are numbers.
pub fn head(title: &str, left: usize, columns: &[&str]) -> String {
    let rule = |i| if i < left { "---|" } else { "---:|" };
    let rules: String = (0..columns.len()).map(rule).collect();
    format!("\n## {title}\n\n| {} |\n|{rules}\n", columns.join(" | "))
}

/// One row of a table.
pub fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a table whose rows are [`goal`]s.
pub fn goals(title: &str) -> String {
    head(title, 1, &["figure", "measured", "goal", "met"])
}

/// A figure and what it has to be.
pub fn goal(label: &str, value: f64, goal: Goal) -> String {
    let [goal, met] = judged(value, goal);
    row(&[label.into(), number(value), goal, met])
}

/// The last two cells of a row: what a figure has to be, and whether it is.
pub fn judged(value: f64, goal: Goal) -> [String; 2] {
    let (goal, met) = match goal {
        Goal::None => (String::from("–"), ""),
        Goal::AtMost(most) => (format!("≤ {}", number(most)), verdict(value <= most)),
        Goal::AtLeast(least) => (format!("≥ {}", number(least)), verdict(value >= least)),
    };
    [goal, met.into()]
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

/// Three digits or so, thousands apart; whole numbers as they are.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return String::from("–");
    }
    let digits = if value.fract() == 0.0 || value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    let whole = text.split('.').next().map_or(0, str::len);
    let mut out = String::new();
    for (i, digit) in text.chars().enumerate() {
        if i > 0 && i < whole && (whole - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
