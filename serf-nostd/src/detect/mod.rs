//! Who still answers: SWIM's probing with Lifeguard's additions, and doubts, so that lost datagrams start no rumours. Says
//! what is due and what came of it; decides about no member.

pub(crate) mod probe;
pub(crate) mod suspicion;
