//! Events that a client fires one behind the other without waiting for answers: they go to the fleet together, and are answered
//! together.

use tokio::io::AsyncRead;

use super::command::Command;
use super::message::{RequestHeader, ResponseHeader, UserEvent};
use super::wire::{self, Reader};
use crate::agent::error::Refusal;
use crate::agent::handle::Handle;
use crate::agent::{query::Target, receipts};

/// As many as the run loop takes at once.
const MOST: usize = 64;

/// Requests of events, in their order: the number of each, and its body.
pub(super) struct Volley(Vec<(u64, Vec<u8>)>);

impl Volley {
    /// A request, and those behind it that have come as a whole; `None` if it is not two events at least.
    pub(super) fn take<R: AsyncRead + Unpin>(
        seq: u64,
        command: Command,
        first: &[u8],
        reader: &mut Reader<R>,
    ) -> Option<Volley> {
        if command != Command::Event {
            return None;
        }
        let mut requests = Vec::new();
        let (mut arrived, mut taken) = (reader.arrived(), 0);
        while requests.len() < MOST
            && let (Some(header), Some(body)) = (arrived.next(), arrived.next())
            && let Ok(header) = wire::decode::<RequestHeader>(header)
            && Command::named(&header.command) == Some(Command::Event)
        {
            if requests.is_empty() {
                requests.push((seq, first.to_vec()));
            }
            requests.push((header.seq, body.to_vec()));
            taken = arrived.position();
        }
        reader.skip(taken);
        (!requests.is_empty()).then_some(Volley(requests))
    }

    /// Fires all of them; what is to be answered.
    pub(super) async fn fire(self, handle: &Handle) -> Vec<u8> {
        let mut submitted = Vec::with_capacity(self.0.len());
        for (seq, body) in self.0 {
            let request = wire::parse::<UserEvent>(&body);
            let submission = match request {
                Ok(UserEvent { name, payload, coalesce }) => {
                    let target = Target::default();
                    let event = receipts::UserEvent { target, name, payload, coalesce, signed: None };
                    Ok(handle.submit_event(event).await)
                }
                Err(why) => Err(why),
            };
            submitted.push((seq, submission));
        }
        let mut answers = Vec::with_capacity(submitted.len() * 32);
        for (seq, submission) in submitted {
            let error = match submission {
                Ok(Ok(reply)) => reply.await.unwrap_or(Err(Refusal::Gone)).err().map(|why| why.to_string()),
                Ok(Err(gone)) => Some(gone.to_string()),
                Err(why) => Some(why),
            };
            wire::encode(&mut answers, &ResponseHeader { error: error.unwrap_or_default(), missed: 0, seq });
        }
        answers
    }
}
