//! What writers of one namespace have been told, and whether it can be true.
//!
//! Every write of a dtab has a number of its own and a condition: the token that it replaces. So whatever is there at the end
//! has one chain of writes behind it, back to the first one. A write that was acknowledged and is not in the chain was lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result, bail, ensure};

/// What a writer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 204.
    Acknowledged,
    /// 412.
    Refused,
    /// An error or nothing: it may be done, now or later.
    Unknown,
}

/// All writes of a namespace, and all that was read of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By number: what it was to replace, and what came of it.
    writes: BTreeMap<u16, (String, Outcome)>,
    /// What a token stands for.
    tokens: HashMap<String, u16>,
    /// Numbers that somebody has read.
    read: BTreeSet<u16>,
}

/// How much was checked, for the test's output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    /// Of the unknown ones.
    pub(crate) done_nevertheless: usize,
}

impl Ledger {
    /// A ledger of a namespace that has just been created.
    pub(crate) fn new(first: u16, token: &str) -> Self {
        let mut ledger = Self::default();
        ledger.tokens.insert(token.to_owned(), first);
        ledger.read.insert(first);
        ledger
    }

    /// The write that a token stands for.
    pub(crate) fn number(&self, token: &str) -> Option<u16> {
        self.tokens.get(token).copied()
    }

    /// Writes that were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        let outcomes = self.writes.values().map(|(_, outcome)| *outcome);
        outcomes.filter(|o| *o == Outcome::Acknowledged).count()
    }

    /// A version was read.
    pub(crate) fn read(&mut self, number: u16, token: &str) -> Result<()> {
        self.read.insert(number);
        self.name(number, token)
    }

    /// A write has ended; with its token if it was acknowledged.
    pub(crate) fn wrote(
        &mut self,
        number: u16,
        expected: &str,
        outcome: Outcome,
        token: Option<&str>,
    ) -> Result<()> {
        self.writes.insert(number, (expected.to_owned(), outcome));
        token.map_or(Ok(()), |token| self.name(number, token))
    }

    fn name(&mut self, number: u16, token: &str) -> Result<()> {
        let known = *self.tokens.entry(token.to_owned()).or_insert(number);
        ensure!(
            known == number,
            "token {token} stands for the writes {known} and {number}"
        );
        Ok(())
    }

    fn replaced(&self, expected: &str) -> Result<u16> {
        let number = self.number(expected);
        number.with_context(|| format!("nobody was told the token {expected}"))
    }

    /// The numbers behind the last one, itself included, newest first.
    fn chain(&self, last: u16) -> Result<Vec<u16>> {
        let mut chain = vec![last];
        let mut number = last;
        while let Some((expected, _)) = self.writes.get(&number) {
            number = self.replaced(expected)?;
            ensure!(!chain.contains(&number), "{number} was replaced twice");
            chain.push(number);
        }
        Ok(chain)
    }

    /// Checks everything against what the store has at the end, when no write is on its way.
    pub(crate) fn check(&self, last: u16) -> Result<Summary> {
        let chain = self.chain(last)?;
        let done: BTreeSet<u16> = chain.iter().copied().collect();
        let mut winners: HashMap<u16, u16> = HashMap::new();
        let mut summary = Summary::default();
        for (number, (expected, outcome)) in &self.writes {
            let before = self.replaced(expected)?;
            let is_done = done.contains(number);
            match outcome {
                Outcome::Acknowledged => {
                    summary.acknowledged += 1;
                    if let Some(other) = winners.insert(before, *number) {
                        bail!("{other} and {number} have both replaced {before}");
                    }
                    ensure!(
                        is_done,
                        "LOST: {number} was acknowledged as what replaces {before}; {last} is there and behind it {chain:?}"
                    );
                }
                Outcome::Refused => {
                    summary.refused += 1;
                    ensure!(!is_done, "{number} was refused and done");
                    ensure!(
                        before != last,
                        "{number} was refused although nobody else has replaced {before}"
                    );
                }
                Outcome::Unknown => {
                    summary.unknown += 1;
                    summary.done_nevertheless += usize::from(is_done);
                }
            }
        }
        let unreal: Vec<_> = self.read.difference(&done).collect();
        ensure!(
            unreal.is_empty(),
            "{unreal:?} were read and are not behind {last}"
        );
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(writes: &[(u16, &str, Outcome, Option<&str>)]) -> Ledger {
        let mut ledger = Ledger::new(0, "t0");
        for (number, expected, outcome, token) in writes {
            ledger.wrote(*number, expected, *outcome, *token).unwrap();
        }
        ledger
    }

    #[test]
    fn a_lost_write_two_winners_and_a_refused_one_that_was_done_are_seen() {
        use Outcome::{Acknowledged, Refused, Unknown};
        let good = [
            (1, "t0", Acknowledged, Some("t1")),
            (2, "t0", Refused, None),
            (3, "t1", Unknown, None),
        ];
        assert_eq!(ledger(&good).check(1).unwrap().acknowledged, 1);
        assert_eq!(ledger(&good).check(3).unwrap().done_nevertheless, 1);
        let lost = ledger(&good).check(0).unwrap_err().to_string();
        assert!(lost.starts_with("LOST"), "{lost}");
        ledger(&good).check(2).unwrap_err();
        let two = [
            (1, "t0", Acknowledged, Some("t1")),
            (2, "t0", Acknowledged, Some("t2")),
        ];
        ledger(&two).check(2).unwrap_err();
        ledger(&[(1, "t0", Refused, None)]).check(0).unwrap_err();
        let mut read = ledger(&good);
        read.read(3, "t3").unwrap();
        read.check(1).unwrap_err();
        read.read(1, "t3").unwrap_err();
    }
}
