//! Shows that a scenario needs a rule of the protocol: it holds with it, and is seen to break without it.

use serf_nostd::rules::Rule;

/// What happens under a seed, without one rule or with all, and what is wrong with it.
pub type Scenario = fn(u64, Option<Rule>) -> Result<(), String>;

/// Holds with the rule for these seeds (ten at most are tried); without it some seed shows it, be it by an invariant that
/// panics.
///
/// # Panics
/// If the scenario fails with every rule, or if nobody notices that this one is missing.
pub fn proves(rule: Rule, seeds: u64, scenario: Scenario) {
    for seed in 0..seeds.min(10) {
        assert_eq!(scenario(seed, None), Ok(()), "seed {seed}, with every rule");
    }
    let broken = (0..seeds).find_map(|seed| {
        let result = std::panic::catch_unwind(|| scenario(seed, Some(rule)));
        let text = match result {
            Ok(Ok(())) => return None,
            Ok(Err(text)) => text,
            Err(_) => "an invariant is broken".to_string(),
        };
        Some((seed, text))
    });
    match broken {
        Some((seed, text)) => println!("without {rule:?} seed {seed} fails: {text}"),
        None => panic!("nobody notices that {rule:?} is missing, in {seeds} seeds"),
    }
}

/// # Errors
/// The text, if the condition does not hold.
pub fn hold(condition: bool, text: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(text.to_string()) }
}
