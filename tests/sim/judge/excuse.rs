//! What was excused, and how often: a judge that excuses much has proved little.

/// Excuses by name, with their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excused(Vec<(&'static str, u64)>);

impl Excused {
    /// Every excuse, with its count, in the order of their names.
    pub fn each(&self) -> &[(&'static str, u64)] {
        &self.0
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Excused) {
        other.0.iter().for_each(|(name, count)| self.count(name, *count));
    }

    /// How often something was excused by this name.
    pub fn of(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
    }

    fn count(&mut self, name: &'static str, count: u64) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(place) => self.0[place].1 += count,
            Err(place) => self.0.insert(place, (name, count)),
        }
    }
}

/// Counts one more.
pub(super) fn excuse(excused: &mut Excused, name: &'static str) {
    excused.count(name, 1);
}
