//! The highest rate of events that a fleet takes without end, and what becomes of those above it.

use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::harness::rpc::Stream;
use crate::harness::{Agent, wait_quiet};
use crate::phases::Figures;
use crate::table::{head, number, row};

/// Agents that events are fired at, each through one connection.
const ORIGINS: usize = 4;
/// Events that a connection fires without a pause; the rate is kept over these.
const LUMP: usize = 10;

/// What became of the events of one rate.
struct Step {
    accepted: usize,
    refused: usize,
    seconds: f64,
    /// Deliveries that accepted events lack, over all agents.
    lost: usize,
    twice: usize,
}

/// Fires at `rate` events per second for `length`.
pub fn measure(binary: &Path, count: usize, rate: usize, length: Duration) -> Figures {
    let fleet = Fleet::start(binary, count);
    let step = step(&fleet, rate, length);
    [("accepted", step.accepted), ("refused", step.refused), ("lost", step.lost), ("twice", step.twice)]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count as f64))
        .chain([("seconds".to_owned(), step.seconds)])
        .collect()
}

pub fn title(count: usize, length: Duration) -> String {
    let title = format!("Sustained rate: {count} agents of ours, {ORIGINS} origins, {length:?} each");
    let columns = ["events/s offered", "accepted/s", "refused", "deliveries lost", "delivered twice"];
    head(&title, 0, &columns)
}

pub fn line(rate: usize, figures: &Figures) -> String {
    let accepted = figures["accepted"] / figures["seconds"];
    let counts = ["refused", "lost", "twice"].map(|name| number(figures[name]));
    row(&[&[number(rate as f64), number(accepted.round())][..], &counts].concat())
}

fn step(fleet: &Fleet, rate: usize, length: Duration) -> Step {
    let began = Instant::now();
    let each = rate / ORIGINS * length.as_secs() as usize;
    let fire = |origin: usize, agent: &Agent| {
        let pace = Duration::from_secs_f64((LUMP * ORIGINS) as f64 / rate as f64);
        let events = (0..each).map(|i| {
            let due = began + pace * (i / LUMP) as u32;
            sleep(due.saturating_duration_since(Instant::now()));
            (&b"sustained"[..], (origin * each + i).to_string().into_bytes())
        });
        agent.rpc().burst(events).expect("the agent stays")
    };
    let (answers, seconds) = scope(|threads| {
        let firing: Vec<_> = fleet.agents[..ORIGINS]
            .iter()
            .enumerate()
            .map(|(origin, agent)| threads.spawn(move || fire(origin, agent)))
            .collect();
        let answers: Vec<bool> = firing
            .into_iter()
            .flat_map(|thread| thread.join().expect("the agent stays"))
            .map(|answer| answer.is_ok())
            .collect();
        (answers, began.elapsed().as_secs_f64())
    });
    let mut counts = vec![vec![0_u8; answers.len()]; fleet.streams.len()];
    let mut total = 0;
    wait_quiet("the streams to fall silent", Duration::from_secs(5), || {
        let heard = |(stream, counts): (&Stream, &mut Vec<u8>)| {
            let events = stream.events.try_iter();
            events.map(|event| count(counts, &event.payload)).sum::<usize>()
        };
        total += fleet.streams.iter().zip(&mut counts).map(heard).sum::<usize>();
        total
    });
    let accepted = answers.iter().filter(|accepted| **accepted).count();
    let of_all = |wanted: fn(u8) -> bool| {
        let heard = |counts: &Vec<u8>| {
            counts.iter().zip(&answers).filter(|(times, accepted)| **accepted && wanted(**times)).count()
        };
        counts.iter().map(heard).sum()
    };
    Step {
        accepted,
        refused: answers.len() - accepted,
        seconds,
        lost: of_all(|times| times == 0),
        twice: of_all(|times| times > 1),
    }
}

fn count(counts: &mut [u8], payload: &[u8]) -> usize {
    let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse::<usize>().ok());
    let Some(times) = number.and_then(|number| counts.get_mut(number)) else { return 0 };
    *times = times.saturating_add(1);
    1
}
