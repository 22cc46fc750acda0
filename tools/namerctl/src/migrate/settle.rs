//! Fits a converted configuration to what the program reads today, by asking the program's own reader.
//!
//! Kinds and keys that the reader knows but cannot use yet become comments, with what the reader says. So nothing here has
//! to be changed when a program learns one. What the reader refuses otherwise is for people to decide.

use l5d_config::{Mistake, Mistakes};

use super::emit;
use super::report::{Fate, Noter};
use super::tree::{Node, Place};

/// More rounds than a file has mistakes would mean that turning off does not help.
const ROUNDS: usize = 500;

/// A configuration being fitted.
pub(crate) struct Settling<'a, 'r> {
    pub(crate) root: &'a mut Node,
    pub(crate) tail: &'a [String],
    pub(crate) noter: &'a mut Noter<'r>,
    /// The program, for messages.
    pub(crate) program: &'static str,
    /// Leads from a place in the output to the key in the input, for the report.
    pub(crate) input_key: &'a dyn Fn(&Node, &[usize]) -> String,
}

/// What to do about a mistake.
pub(crate) enum Answer {
    /// This slot becomes a comment.
    Off(Place),
    /// Taken care of; look again.
    Done,
    /// Nothing can be done.
    Refused,
}

/// Reads, and turns off what is not known yet, until the reader is content or only real mistakes are left.
pub(crate) fn settle(
    settling: &mut Settling<'_, '_>,
    read: &dyn Fn(&str) -> Result<(), Mistakes>,
    answer: &mut dyn FnMut(&mut Settling<'_, '_>, &Mistake, &Place) -> Answer,
) {
    for _ in 0..ROUNDS {
        let emitted = emit::document(settling.root, settling.tail);
        let Err(mistakes) = read(&emitted.text()) else {
            return;
        };
        let mut has_changed = false;
        for mistake in mistakes.all() {
            let Some(place) = emitted.place(mistake.line).cloned() else {
                continue;
            };
            match answer(settling, mistake, &place) {
                Answer::Off(place) => settling.turn_off(&place, mistake),
                Answer::Done => {}
                Answer::Refused => continue,
            }
            has_changed = true;
            // Places may have moved.
            break;
        }
        if !has_changed {
            settling.refuse(mistakes.all(), &emitted);
            return;
        }
    }
}

/// Whether a reader's mistake is about something that it does not know or cannot use, rather than a wrong value.
pub(crate) fn is_unknown(mistake: &Mistake) -> bool {
    let message = &mistake.message;
    message.contains("not supported")
        || message.contains("cannot be used")
        || message.starts_with("unknown ")
        || message.contains(" kind `")
}

/// The slot that a mistake is about: for a kind, what has that kind.
pub(crate) fn subject(root: &Node, place: &[usize]) -> Place {
    let is_kind = root
        .slot_at(place)
        .is_some_and(|s| s.key.as_deref() == Some("kind"));
    if is_kind && place.len() > 1 {
        place[..place.len() - 1].to_vec()
    } else {
        place.to_vec()
    }
}

impl Settling<'_, '_> {
    fn turn_off(&mut self, place: &[usize], mistake: &Mistake) {
        let key = (self.input_key)(self.root, place);
        let program = self.program;
        let message = format!("{program}: {}", mistake.message);
        let Some(slot) = self.root.slot_at_mut(place) else {
            return;
        };
        let line = slot.line;
        slot.turn_off(&message);
        let fate = fate(mistake);
        let help = match fate {
            Fate::NotYet => Some("uncomment it when the program supports it"),
            _ => mistake.help.as_deref(),
        };
        self.noter.note(fate, line, &key, message, help);
        self.fold(place);
    }

    /// A list or map of which everything is off goes off as a whole, except at the top and what has to be there.
    fn fold(&mut self, place: &[usize]) {
        let Some((_, parent)) = place.split_last() else {
            return;
        };
        let Some(slot) = self.root.slot_at_mut(parent) else {
            return;
        };
        let is_needed = matches!(
            slot.key.as_deref(),
            Some("routers" | "interfaces" | "storage" | "servers")
        );
        if is_needed || slot.key.is_none() || !slot.node.slots().iter().all(|s| s.is_off) {
            return;
        }
        if let Some(slots) = slot.node.slots_mut() {
            slots.iter_mut().for_each(|s| s.is_off = false);
        }
        slot.is_off = true;
        self.fold(parent);
    }

    fn refuse(&mut self, mistakes: &[Mistake], emitted: &emit::Emitted) {
        for mistake in mistakes {
            let place = emitted.place(mistake.line).cloned().unwrap_or_default();
            let key = (self.input_key)(self.root, &place);
            let line = self.root.slot_at(&place).map_or(0, |s| s.line);
            let is_of_place = mistake.message.contains("existing directory")
                || mistake.message.contains("cannot read")
                || mistake.message.contains("No such file");
            let fate = if is_of_place {
                Fate::Note
            } else {
                Fate::Decide
            };
            let message = format!("{} says: {}", self.program, mistake.message);
            self.noter
                .note(fate, line, &key, message, mistake.help.as_deref());
        }
    }
}

pub(crate) fn fate(mistake: &Mistake) -> Fate {
    if mistake.message.contains("not supported yet") {
        Fate::NotYet
    } else {
        Fate::Dropped
    }
}
