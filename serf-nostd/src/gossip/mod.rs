//! What to say, to whom, how often: news about members ([`queue`]), answers owed ([`owed`]), repair ([`heal`]), and who
//! hears it ([`round`]).

pub(crate) mod heal;
pub(crate) mod owed;
pub(crate) mod passed;
pub(crate) mod queue;
pub(crate) mod round;
