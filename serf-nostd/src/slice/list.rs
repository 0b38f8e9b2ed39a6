//! Doubly linked lists through the items of a slice: constant time, no memory of their own.

use super::NIL;

/// An item's place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Link {
    prev: u16,
    next: u16,
}

impl Link {
    /// In no list: no item stands between number 0 and number 0.
    pub(crate) const LOOSE: Link = Link { prev: 0, next: 0 };

    pub(crate) fn is_loose(self) -> bool {
        self == Link::LOOSE
    }
}

/// An item that can stand in a list; `WHICH` tells the lists apart that it can stand in at the same time.
pub(crate) trait Linked<const WHICH: usize> {
    fn link(&mut self) -> &mut Link;
}

/// A list. The owner knows which items are in it; linking one twice is a bug.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<const WHICH: usize> {
    head: u16,
    tail: u16,
    len: u16,
}

impl<const WHICH: usize> List<WHICH> {
    pub(crate) const fn new() -> Self {
        List { head: NIL, tail: NIL, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn head(&self) -> Option<u16> {
        (self.head != NIL).then_some(self.head)
    }

    /// The item behind `id`.
    pub(crate) fn after<T: Linked<WHICH>>(&self, items: &mut [T], id: u16) -> Option<u16> {
        let next = items[id as usize].link().next;
        (next != NIL).then_some(next)
    }

    pub(crate) fn push_back<T: Linked<WHICH>>(&mut self, items: &mut [T], id: u16) {
        *items[id as usize].link() = Link { prev: self.tail, next: NIL };
        match self.tail {
            NIL => self.head = id,
            tail => items[tail as usize].link().next = id,
        }
        self.tail = id;
        self.len += 1;
    }

    pub(crate) fn remove<T: Linked<WHICH>>(&mut self, items: &mut [T], id: u16) {
        let Link { prev, next } = *items[id as usize].link();
        match prev {
            NIL => self.head = next,
            prev => items[prev as usize].link().next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => items[next as usize].link().prev = prev,
        }
        *items[id as usize].link() = Link::LOOSE;
        self.len -= 1;
    }

    pub(crate) fn pop_front<T: Linked<WHICH>>(&mut self, items: &mut [T]) -> Option<u16> {
        let id = self.head()?;
        self.remove(items, id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::random::Random;

    impl Linked<0> for Link {
        fn link(&mut self) -> &mut Link {
            self
        }
    }

    #[test]
    fn items_keep_their_order_wherever_one_leaves() {
        let mut random = Random::new(2);
        let (mut items, mut list) = ([Link::LOOSE; 20], List::<0>::new());
        let mut expected: Vec<u16> = vec![];
        for _ in 0..5_000 {
            let id = random.below(20) as u16;
            match expected.iter().position(|held| *held == id) {
                None => {
                    list.push_back(&mut items, id);
                    expected.push(id);
                }
                Some(place) if random.below(4) > 0 => {
                    list.remove(&mut items, id);
                    expected.remove(place);
                }
                Some(_) => assert_eq!(list.pop_front(&mut items), Some(expected.remove(0))),
            }
            let mut walked = vec![];
            let mut at = list.head();
            while let Some(id) = at {
                walked.push(id);
                at = list.after(&mut items, id);
            }
            assert_eq!((walked, list.len()), (expected.clone(), expected.len()));
            let loose = |id: &u16| items[*id as usize].is_loose();
            assert!((0..20).filter(|id| !expected.contains(id)).all(|id| loose(&id)));
        }
    }
}
