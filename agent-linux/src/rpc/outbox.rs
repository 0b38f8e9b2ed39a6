//! What a connection still has to send, bounded in bytes: whoever wants to add waits for room, first come, first served.

use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that may wait; a larger message goes alone.
const ROOM: usize = 64 * 1024;

/// The least that a message counts for, so that tiny ones cannot pile up either.
const LEAST: usize = 64;

/// Where answers and records are put. Clones share one bound and one order.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    room: Arc<Semaphore>,
    queue: mpsc::UnboundedSender<(Vec<u8>, OwnedSemaphorePermit)>,
}

/// The connection is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Outbox {
    /// An outbox, and the future that empties it into `stream`. That ends with the stream shut down once all clones of
    /// the outbox are gone and everything is written, or when the stream breaks.
    pub(super) fn new<W: AsyncWrite + Unpin>(mut stream: W) -> (Outbox, impl Future<Output = ()>) {
        let (queue, mut queued) = mpsc::unbounded_channel::<(Vec<u8>, OwnedSemaphorePermit)>();
        let room = Arc::new(Semaphore::new(ROOM));
        let outbox = Outbox { room: room.clone(), queue };
        let write = async move {
            while let Some((mut batch, mut room_used)) = queued.recv().await {
                // Small messages that wait together leave together.
                while let Ok((more, room)) = queued.try_recv() {
                    batch.extend_from_slice(&more);
                    room_used.merge(room);
                }
                if stream.write_all(&batch).await.is_err() {
                    break;
                }
            }
            room.close();
            // A broken stream cannot be shut down, and need not be.
            let _ = stream.shutdown().await;
        };
        (outbox, write)
    }

    /// Queues whole values, once there is room for them. Cancelled, nothing is queued.
    pub(super) async fn send(&self, bytes: Vec<u8>) -> Result<(), Broken> {
        let weight = bytes.len().clamp(LEAST, ROOM) as u32;
        let room = self.room.clone().acquire_many_owned(weight).await.map_err(|_| Broken)?;
        self.queue.send((bytes, room)).map_err(|_| Broken)
    }
}
