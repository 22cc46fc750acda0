//! A set of numbers taken round and round, so that one that comes back at once does not keep others waiting.

use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Ring {
    numbers: BTreeSet<u32>,
    last: u32,
}

impl Ring {
    pub(super) fn insert(&mut self, number: u32) {
        self.numbers.insert(number);
    }

    pub(super) fn remove(&mut self, number: u32) {
        self.numbers.remove(&number);
    }

    pub(super) fn pop(&mut self) -> Option<u32> {
        let next = self.numbers.range(self.last.saturating_add(1)..).next();
        let number = *next.or_else(|| self.numbers.first())?;
        self.numbers.remove(&number);
        self.last = number;
        Some(number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.numbers.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_comes_back_at_once_waits_for_its_turn() {
        let mut ring = Ring::default();
        (1..=3).for_each(|n| ring.insert(n));
        let mut order = Vec::new();
        for _ in 0..4 {
            let number = ring.pop().expect("not empty");
            order.push(number);
            if number == 1 {
                ring.insert(1);
            }
        }
        assert_eq!(order, [1, 2, 3, 1]);
    }
}
