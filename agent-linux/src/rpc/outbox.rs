//! What a connection still has to send, bounded in bytes: whoever wants to add waits for room, first come, first served.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};

use tokio::io::AsyncWrite;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::connection::WriteHalf;

/// Bytes that may wait; a larger message goes alone.
const ROOM: usize = 64 * 1024;

/// The least that a message counts for, so that tiny ones cannot pile up either.
const LEAST: usize = 64;

/// Where answers and records are put. Clones share one bound and one order.
#[derive(Clone)]
pub(super) struct Outbox {
    room: Arc<Semaphore>,
    stream: Arc<Mutex<Stream>>,
    queue: mpsc::UnboundedSender<Waiting>,
}

/// What the system did not take at once.
type Waiting = (Vec<u8>, OwnedSemaphorePermit);

struct Stream {
    half: WriteHalf,
    /// Something waits: what comes now waits behind it.
    is_behind: bool,
}

/// The connection is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Outbox {
    /// An outbox, and the future that sends what waits in it. That ends with the stream shut down once all clones of
    /// the outbox are gone and everything is written, or when the stream breaks.
    pub(super) fn new(half: WriteHalf) -> (Outbox, impl Future<Output = ()>) {
        let (queue, mut queued) = mpsc::unbounded_channel::<Waiting>();
        let room = Arc::new(Semaphore::new(ROOM));
        let stream = Arc::new(Mutex::new(Stream { half, is_behind: false }));
        let outbox = Outbox { room: room.clone(), stream: stream.clone(), queue };
        let write = async move {
            while let Some((mut batch, mut room_used)) = queued.recv().await {
                let mut written = 0;
                let sent = poll_fn(|context| {
                    let mut stream = lock(&stream);
                    // Small messages that wait together leave together.
                    while let Ok((more, room)) = queued.try_recv() {
                        batch.extend_from_slice(&more);
                        room_used.merge(room);
                    }
                    while written < batch.len() {
                        match ready!(Pin::new(&mut stream.half).poll_write(context, &batch[written..])) {
                            Ok(0) | Err(_) => return Poll::Ready(false),
                            Ok(some) => written += some,
                        }
                    }
                    stream.is_behind = false;
                    Poll::Ready(true)
                });
                if !sent.await {
                    break;
                }
            }
            room.close();
            // A broken stream cannot be shut down, and need not be.
            let _ = poll_fn(|context| Pin::new(&mut lock(&stream).half).poll_shutdown(context)).await;
        };
        (outbox, write)
    }

    /// Sends whole values, or queues them behind what waits, once there is room for them. Cancelled, nothing is queued.
    pub(super) async fn send(&self, bytes: Vec<u8>) -> Result<(), Broken> {
        let weight = bytes.len().clamp(LEAST, ROOM) as u32;
        let room = self.room.clone().acquire_many_owned(weight).await.map_err(|_| Broken)?;
        let mut sending = Some((bytes, room));
        poll_fn(|context| {
            let Some((mut bytes, room)) = sending.take() else { return Poll::Ready(Ok(())) };
            let mut stream = lock(&self.stream);
            if !stream.is_behind {
                // Of an error the other future learns as well: it ends the connection.
                if let Poll::Ready(Ok(sent)) = Pin::new(&mut stream.half).poll_write(context, &bytes) {
                    bytes.drain(..sent);
                }
                if bytes.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                stream.is_behind = true;
            }
            Poll::Ready(self.queue.send((bytes, room)).map_err(|_| Broken))
        })
        .await
    }
}

/// The lock is never held over foreign code but the system's, so a poisoned one is as good as any.
fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// What does not fit waits, with what comes after it, and everything arrives in the order of its sending; the end comes last.
    #[tokio::test]
    async fn what_is_sent_arrives_in_order_whether_it_has_to_wait_or_not() {
        let (ours, mut theirs) = duplex(100);
        let (outbox, writer) = Outbox::new(Box::new(ours));
        let writer = tokio::spawn(writer);
        let mut expected = Vec::new();
        for round in 0..50_u8 {
            for size in [1, 60, 250, 7] {
                let message = vec![round; size];
                expected.extend_from_slice(&message);
                outbox.send(message).await.expect("it is open");
            }
            // Sometimes it is read while there is more to come, so that what comes then is sent at once again.
            if round % 10 == 0 {
                let mut read = vec![0; expected.len()];
                theirs.read_exact(&mut read).await.expect("all of it comes");
                assert_eq!(read, expected);
                expected.clear();
            }
        }
        drop(outbox);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.expect("it is shut down");
        assert_eq!(rest, expected);
        writer.await.expect("it ends");
    }

    #[tokio::test]
    async fn a_broken_stream_ends_the_writer_and_takes_nothing_more() {
        let (ours, theirs) = duplex(100);
        let (outbox, writer) = Outbox::new(Box::new(ours));
        drop(theirs);
        // Nobody has noticed yet.
        let _ = outbox.send(vec![0; 10]).await;
        writer.await;
        assert_eq!(outbox.send(vec![0; 10]).await, Err(Broken));
    }
}
