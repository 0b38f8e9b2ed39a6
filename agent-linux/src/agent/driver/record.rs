//! What the snapshot is told of this node, and how long the node waits for it.

use std::future::pending;
use std::time::Duration;

use serf_nostd::Belonging;
use tokio::time::Instant as Wall;

use super::Driver;
use crate::agent::snapshot::{Recorder, Standing};

/// How often clocks and floor are told, as Serf tells its clocks; a change of fleet is told at once.
const TOLD: Duration = Duration::from_millis(500);

impl Driver<'_> {
    /// Before the application is told more.
    pub(super) fn note_standing(&mut self) {
        let Some(recorder) = &self.recorder else { return };
        let belonging = self.node.belonging();
        let fleet = |there: Option<Belonging>| there.map(|there| (there.fleet, there.met));
        if let Some((known, told)) = &self.stood
            && fleet(known.belonging) == fleet(belonging)
            && told.elapsed() < TOLD
        {
            return;
        }
        let gauges = self.node.gauges();
        let clocks = [gauges.member_time, gauges.event_time, gauges.query_time];
        let standing = Standing { clocks, floor: self.node.event_floor(), belonging };
        let says = |standing: &Standing| (standing.clocks, standing.floor, fleet(standing.belonging));
        if self.stood.as_ref().is_none_or(|(known, _)| says(known) != says(&standing)) {
            recorder.stand(standing);
        }
        let seen = self.node.stats().events_new;
        if std::mem::replace(&mut self.recorded, seen) != seen {
            recorder.settled(self.node.settled().collect());
        }
        self.stood = Some((standing, Wall::now()));
    }

    /// Before the agent ends.
    pub(super) async fn hand_out_all(&mut self) {
        self.note_standing();
        if let Some(recorder) = &self.recorder {
            recorder.flush().await;
        }
    }
}

/// Waits until there is room for events again. Cancel safe.
pub(super) async fn relief(recorder: Option<&Recorder>) {
    match recorder {
        Some(recorder) => recorder.relief().await,
        None => pending().await,
    }
}
