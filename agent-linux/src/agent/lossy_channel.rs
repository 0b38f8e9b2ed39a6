//! A bounded channel that loses instead of waiting: whoever writes never blocks, whoever reads too slowly is told how
//! much it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Makes one for at most `records` records with together at most `bytes` bytes; a record larger than that is still
/// taken while the queue is empty.
pub fn channel<T>(records: usize, bytes: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        waiting: VecDeque::new(),
        used: 0,
        missed: 0,
        sender_gone: false,
        receiver_gone: false,
        records,
        bytes,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// The end of [`channel`] that writes.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end of [`channel`] that reads.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Bytes of all waiting records.
    used: usize,
    /// Lost since the last record that was taken in.
    missed: u64,
    sender_gone: bool,
    receiver_gone: bool,
    records: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    record: T,
    size: usize,
    missed: u64,
}

impl<T> Shared<T> {
    /// The lock is never held over foreign code, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Queues a record of about `size` bytes behind `missed` that were lost on the way here, or counts it as missed if
    /// the queue is full. False if nobody reads any more.
    pub fn push(&self, record: T, size: usize, missed: u64) -> bool {
        let mut state = self.shared.lock();
        if state.receiver_gone {
            return false;
        }
        let fits = state.waiting.is_empty() || state.used.saturating_add(size) <= state.bytes;
        state.missed += missed;
        if fits && state.waiting.len() < state.records {
            let missed = std::mem::take(&mut state.missed);
            state.waiting.push_back(Waiting { record, size, missed });
            state.used += size;
            drop(state);
            self.shared.changed.notify_one();
        } else {
            state.missed += 1;
        }
        true
    }

    /// Whether nobody reads any more.
    pub fn is_abandoned(&self) -> bool {
        self.shared.lock().receiver_gone
    }
}

impl<T> Receiver<T> {
    /// Waits for the next record; with it, how many were lost just before it. `None` once the writer is gone and all
    /// is read. Cancel safe.
    pub async fn next(&self) -> Option<(T, u64)> {
        loop {
            {
                let mut state = self.shared.lock();
                if let Some(first) = state.waiting.pop_front() {
                    state.used -= first.size;
                    return Some((first.record, first.missed));
                }
                if state.sender_gone {
                    return None;
                }
            }
            self.shared.changed.notified().await;
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.lock().sender_gone = true;
        self.shared.changed.notify_one();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receiver_gone = true;
        // Frees the memory now; the writer may keep its end for long.
        state.waiting = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_loses_the_newest_and_says_how_many() {
        let (sender, receiver) = channel(2, 100);
        for n in 0..5 {
            assert!(sender.push(n, 1, 0));
        }
        assert_eq!(receiver.next().await, Some((0, 0)));
        assert!(sender.push(5, 1, 0));
        assert_eq!(receiver.next().await, Some((1, 0)));
        assert_eq!(receiver.next().await, Some((5, 3)));
        assert!(sender.push(6, 1, 2));
        drop(sender);
        assert_eq!(receiver.next().await, Some((6, 2)));
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test]
    async fn bytes_are_bounded_but_one_record_always_fits() {
        let (sender, receiver) = channel(10, 10);
        sender.push("huge", 1000, 0);
        sender.push("lost", 1, 0);
        assert_eq!(receiver.next().await, Some(("huge", 0)));
        sender.push("six", 6, 0);
        sender.push("five", 5, 0);
        sender.push("four", 4, 0);
        assert_eq!(receiver.next().await, Some(("six", 1)));
        assert_eq!(receiver.next().await, Some(("four", 1)));
        drop(receiver);
        assert!(!sender.push("late", 1, 0));
    }
}
