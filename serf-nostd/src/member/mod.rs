//! Who is in the cluster: the table, and the rules by which what is heard changes it.

pub(crate) mod digest;
pub(crate) mod intents;
pub(crate) mod machine;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod told;

pub use record::{Member, MemberChange, Status};
