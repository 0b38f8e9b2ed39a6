//! An outsider of a sealed fleet: he has no key, but hears all that is said and forgets nothing. He sends it again, whole or changed, to
//! whom he likes, from where he likes, whenever he likes: most often what he has just heard, and what was said before somebody
//! had a former life.

use crate::rng::Rng;

use super::Run;

/// How many overheard datagrams he keeps: those of the first minutes, as a sample, and the last ones.
const KEPT: usize = 4_096;
const LAST: usize = 64;
/// How many he sends in a tenth of a second, at most.
const SENDS: u64 = 24;

/// What he has overheard: who sent what to whom.
pub(super) struct Outsider {
    rng: Rng,
    kept: Vec<(usize, usize, Vec<u8>)>,
    last: Vec<(usize, usize, Vec<u8>)>,
    overheard: u64,
}

impl Run<'_> {
    /// He begins to listen.
    pub(super) fn begin_listening(&mut self) {
        if self.plan.sealed {
            let rng = Rng::new(self.plan.seed ^ 0x6f75_7473);
            self.outsider = Some(Outsider { rng, kept: Vec::new(), last: Vec::new(), overheard: 0 });
            self.fleet.recording = Some(Vec::new());
        }
    }

    /// He goes.
    pub(super) fn end_listening(&mut self) {
        if self.outsider.take().is_some() {
            self.fleet.recording = None;
        }
    }

    /// What he has heard in this beat, and what he sends.
    pub(super) fn replay(&mut self) {
        let Some(mut outsider) = self.outsider.take() else { return };
        for heard in self.fleet.recording.replace(Vec::new()).unwrap_or_default() {
            outsider.overheard += 1;
            if outsider.last.len() == LAST {
                outsider.last.remove(0);
            }
            outsider.last.push(heard.clone());
            if outsider.kept.len() < KEPT {
                outsider.kept.push(heard);
            } else if let place @ 0..KEPT = outsider.rng.below(outsider.overheard) as usize {
                outsider.kept[place] = heard;
            }
        }
        for _ in 0..outsider.rng.below(SENDS) {
            self.send_again(&mut outsider);
        }
        self.outsider = Some(outsider);
    }

    fn send_again(&mut self, outsider: &mut Outsider) {
        let recent = outsider.rng.chance(0.3);
        let kept = if recent { &outsider.last } else { &outsider.kept };
        if kept.is_empty() {
            return;
        }
        let (mut from, mut to, mut bytes) = kept[outsider.rng.below(kept.len() as u64) as usize].clone();
        let nodes = self.plan.nodes as u64;
        if outsider.rng.chance(0.3) {
            to = outsider.rng.below(nodes) as usize;
        }
        if outsider.rng.chance(0.2) {
            from = outsider.rng.below(nodes) as usize;
        }
        if outsider.rng.chance(0.1) {
            let bit = outsider.rng.below(8 * bytes.len() as u64) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        self.fleet.inject_from(self.fleet.address(from), to, bytes);
        self.happened.replayed += 1;
    }
}
