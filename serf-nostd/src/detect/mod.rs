//! Who still answers: SWIM's probing with Lifeguard's additions. Says what is due and what came of it; decides about
//! no member.

pub(crate) mod probe;
pub(crate) mod suspicion;
