//! Evaluates a path: dtab, then namers, then system namers (naming 4).
//!
//! In come the rules of a question, a path and a caller; out comes a tree of clusters before any transformer of the
//! router. The evaluation keeps its own stack instead of recursing, so that no nesting of rules can exhaust the
//! thread's, and is charged for each step it takes. It never waits and changes nothing.

use std::fmt;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use l5d_naming::limits::{BIND_DEPTH, BIND_LEAVES, BIND_NESTING, BIND_STEPS};
use l5d_naming::{NameTree, Path, Weight};

use super::branches::{Branches, Todo};
use super::namers::System;
use super::outcome::{Collected, Outcome, union_depth};
use super::rules::Rules;
use super::{Answer, BindError, Namer};
use crate::store::{Caller, Reads};

/// Applies rules and namers until everything is bound.
pub(super) struct Interpreter {
    pub(super) namers: Arc<[Arc<dyn Namer>]>,
    pub(super) system: Arc<System>,
}

/// One evaluation under way.
struct Run<'a, 'r> {
    interpreter: &'a Interpreter,
    rules: Rules<'a>,
    caller: &'a Caller,
    reads: &'r mut Reads,
    asked: &'a Path,
    steps: usize,
    /// What paths have come to at which depth, so that `/a => /b & /b ; /b => /c & /c` does not double its work.
    known: HashMap<(Path, usize), Outcome>,
    stack: Vec<Frame<'a>>,
}

/// What is to be done with the outcome of what stands above it on the stack.
enum Frame<'a> {
    /// Note it for this path at this depth.
    Note(Path, usize),
    /// Negative: try the next rule below this place for the path.
    Rules {
        path: Path,
        below: usize,
        depth: usize,
    },
    /// Negative: try the next branch.
    Alt { rest: Branches<'a>, depth: usize },
    /// Collect it and go on with the next branch.
    Union {
        rest: Branches<'a>,
        weight: Weight,
        done: Collected,
        depth: usize,
    },
}

enum Next<'a> {
    Visit(Todo<'a>, usize),
    Done(Outcome),
}

// === impl Interpreter ===

impl Interpreter {
    /// Binds a path (naming 4.2).
    pub(super) fn evaluate(
        &self,
        rules: Rules<'_>,
        path: &Path,
        caller: &Caller,
        reads: &mut Reads,
    ) -> Outcome {
        let run = Run {
            interpreter: self,
            rules,
            caller,
            reads,
            asked: path,
            steps: 0,
            known: HashMap::new(),
            stack: Vec::new(),
        };
        run.finish().unwrap_or_else(Outcome::Failed)
    }

    /// Asks the configured namers in order, then the system namers (naming 4.3, rules 2 and 3).
    pub(super) fn ask_namers(&self, path: &Path, caller: &Caller, reads: &mut Reads) -> Answer {
        for namer in self.namers.iter() {
            let Some(rest) = path.strip_prefix(namer.prefix()) else {
                continue;
            };
            match namer.look_up(&rest, caller, reads) {
                Answer::Tree(NameTree::Neg) => {}
                answer => return answer,
            }
        }
        self.system.look_up(path, reads)
    }
}

// === impl Run ===

impl<'a> Run<'a, '_> {
    /// The error is one that ends the whole evaluation, wherever it arises.
    fn finish(mut self) -> Result<Outcome, BindError> {
        let mut next = Next::Visit(Todo::Path(self.asked.clone()), 0);
        loop {
            next = match next {
                Next::Visit(todo, depth) => self.visit(todo, depth)?,
                Next::Done(outcome) => match self.stack.pop() {
                    Some(frame) => self.resume(frame, outcome)?,
                    None => return Ok(outcome),
                },
            };
        }
    }

    fn visit(&mut self, todo: Todo<'a>, depth: usize) -> Result<Next<'a>, BindError> {
        self.charge(1)?;
        // First of all, also for what is bound already (naming 4.2).
        if depth > BIND_DEPTH {
            return Ok(Next::Done(Outcome::Failed(self.too_deep())));
        }
        Ok(match todo.open() {
            Todo::Path(path) => return self.look_up(path, depth),
            Todo::Bound(cluster, residual) => Next::Done(Outcome::leaf(cluster, residual)),
            Todo::Alt(rest) => self.next_alternative(rest, depth),
            Todo::Union(rest) => self.next_branch(rest, Collected::default(), depth)?,
            Todo::Neg => Next::Done(Outcome::tree(NameTree::Neg)),
            Todo::Fail => Next::Done(Outcome::tree(NameTree::Fail)),
            Todo::Empty => Next::Done(Outcome::tree(NameTree::Empty)),
            Todo::Rule(..) | Todo::Found(_) => unreachable!("opened above"),
        })
    }

    /// One lookup (naming 4.3), then on with what it gave, one level deeper.
    fn look_up(&mut self, path: Path, depth: usize) -> Result<Next<'a>, BindError> {
        let bytes: usize = path.elems().iter().map(|e| e.as_bytes().len()).sum();
        // So that what is noted of long paths is bounded like their number.
        self.charge(path.len() / 8 + bytes / 256)?;
        let key = (path, depth);
        if let Some(outcome) = self.known.get(&key) {
            let outcome = outcome.clone();
            self.charge(outcome.size())?;
            return Ok(Next::Done(outcome));
        }
        let path = key.0.clone();
        self.stack.push(Frame::Note(key.0, depth));
        let first = self.next_rule(&path, self.rules.len())?;
        // A lone rule that is exactly `~` counts as none.
        let falls_through = match &first {
            None => true,
            Some((at, Todo::Rule(NameTree::Neg, _))) => self.last_rule(&path, *at)?.is_none(),
            Some(_) => false,
        };
        Ok(match first {
            Some((at, todo)) if !falls_through => {
                self.stack.push(Frame::Rules {
                    path,
                    below: at,
                    depth: depth + 1,
                });
                Next::Visit(todo, depth + 1)
            }
            _ => match self.interpreter.ask_namers(&path, self.caller, self.reads) {
                Answer::Pending => Next::Done(Outcome::Pending),
                Answer::Failed(message) => Next::Done(Outcome::Failed(BindError::Namer(message))),
                Answer::Tree(tree) => Next::Visit(Todo::Found(tree), depth + 1),
            },
        })
    }

    /// The next matching rule before place `below`, with its tree to be visited.
    fn next_rule(
        &mut self,
        path: &Path,
        below: usize,
    ) -> Result<Option<(usize, Todo<'a>)>, BindError> {
        Ok(self.last_rule(path, below)?.map(|m| {
            let residual = path.skip(m.dentry.prefix.len());
            (m.at, Todo::Rule(&m.dentry.dst, residual))
        }))
    }

    fn last_rule(
        &mut self,
        path: &Path,
        below: usize,
    ) -> Result<Option<super::rules::Match<'a>>, BindError> {
        let found = self.rules.last_match(path, below);
        self.charge(found.map_or(below, |m| m.compared) / 256)?;
        Ok(found)
    }

    fn resume(&mut self, frame: Frame<'a>, outcome: Outcome) -> Result<Next<'a>, BindError> {
        match frame {
            Frame::Note(path, depth) => {
                self.known.insert((path, depth), outcome.clone());
                Ok(Next::Done(outcome))
            }
            Frame::Rules { path, below, depth } if outcome.is_neg() => {
                let Some((at, todo)) = self.next_rule(&path, below)? else {
                    return Ok(Next::Done(outcome));
                };
                self.stack.push(Frame::Rules {
                    path,
                    below: at,
                    depth,
                });
                Ok(Next::Visit(todo, depth))
            }
            Frame::Alt { rest, depth } if outcome.is_neg() => {
                Ok(self.next_alternative(rest, depth))
            }
            Frame::Rules { .. } | Frame::Alt { .. } => Ok(Next::Done(outcome)),
            Frame::Union {
                rest,
                weight,
                mut done,
                depth,
            } => {
                done.add(weight, outcome);
                self.next_branch(rest, done, depth)
            }
        }
    }

    fn next_alternative(&mut self, mut rest: Branches<'a>, depth: usize) -> Next<'a> {
        match rest.next() {
            Some((_, todo)) => {
                self.stack.push(Frame::Alt { rest, depth });
                Next::Visit(todo, depth)
            }
            None => Next::Done(Outcome::tree(NameTree::Neg)),
        }
    }

    fn next_branch(
        &mut self,
        mut rest: Branches<'a>,
        done: Collected,
        depth: usize,
    ) -> Result<Next<'a>, BindError> {
        Ok(match rest.next() {
            Some((weight, todo)) => {
                self.stack.push(Frame::Union {
                    rest,
                    weight,
                    done,
                    depth,
                });
                Next::Visit(todo, depth)
            }
            None => {
                let outcome = done.outcome();
                self.check_size(&outcome)?;
                Next::Done(outcome)
            }
        })
    }

    fn charge(&mut self, steps: usize) -> Result<(), BindError> {
        self.steps += steps;
        if self.steps <= BIND_STEPS {
            return Ok(());
        }
        Err(BindError::Width(
            format!(
                "binding {} takes more than {BIND_STEPS} steps; look for rules that multiply, such as /a => /a & /a",
                self.asked
            )
            .into(),
        ))
    }

    fn check_size(&self, outcome: &Outcome) -> Result<(), BindError> {
        let Outcome::Tree { tree, .. } = outcome else {
            return Ok(());
        };
        let what = if outcome.size() > BIND_LEAVES {
            format!("has more than {BIND_LEAVES} leaves")
        } else if union_depth(tree) > BIND_NESTING {
            format!("has unions nested more than {BIND_NESTING} deep")
        } else {
            return Ok(());
        };
        Err(BindError::Width(
            format!("the bound tree of {} {what}", self.asked).into(),
        ))
    }

    fn too_deep(&self) -> BindError {
        BindError::Depth(
            format!(
                "maximum depth {BIND_DEPTH} reached while binding {}; look for a rule that leads back to itself",
                self.asked
            )
            .into(),
        )
    }
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.namers.iter().map(|n| n.prefix().to_string()).collect();
        f.debug_tuple("Interpreter").field(&kinds).finish()
    }
}
