//! The one parser: recursive descent over the text, one function for each row of the grammar (naming 1.1, 2.1, 3.1).
//!
//! It never goes back, so reading takes time in proportion to the text, and it descends only into parentheses, whose
//! depth is limited.

pub use crate::cursor::ParseError;
pub(crate) use crate::cursor::is_plain;

use crate::cursor::Cursor;
use crate::limits::{DTAB_BYTES, DTAB_LEAVES, PATH_BYTES, TREE_DEPTH};
use crate::{Dentry, Dtab, Elem, NameTree, Path, Prefix, PrefixElem, Weight, Weighted};

const END: &str = "end of input";

/// `path` and nothing else.
pub(crate) fn path(text: &str) -> Result<Path, ParseError> {
    let mut parser = Parser::new(text, PATH_BYTES)?;
    let path = parser.path()?;
    parser.end(END)?;
    Ok(path)
}

/// `prefix` and nothing else.
pub(crate) fn prefix(text: &str) -> Result<Prefix, ParseError> {
    let mut parser = Parser::new(text, PATH_BYTES)?;
    let prefix = parser.prefix()?;
    parser.end(END)?;
    Ok(prefix)
}

/// `tree` and nothing else.
pub(crate) fn tree(text: &str) -> Result<NameTree<Path>, ParseError> {
    let mut parser = Parser::new(text, DTAB_BYTES)?;
    let tree = parser.tree(0)?;
    parser.end("'|', '&' or end of input")?;
    Ok(tree)
}

/// `dtab` and nothing else.
pub(crate) fn dtab(text: &str) -> Result<Dtab, ParseError> {
    let mut parser = Parser::new(text, DTAB_BYTES)?;
    let mut entries = Vec::new();
    parser.cursor.skip_space();
    while !parser.cursor.is_done() {
        entries.push(parser.dentry()?);
        if !parser.cursor.eat(b';') {
            parser.end("'|', '&', ';' or end of input")?;
        }
        parser.cursor.skip_space();
    }
    Ok(Dtab::from_entries(entries))
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    /// How many simple trees were read, in all trees of the text.
    leaves: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, limit: usize) -> Result<Self, ParseError> {
        let cursor = Cursor::new(text, limit)?;
        Ok(Self { cursor, leaves: 0 })
    }

    fn end(&mut self, expected: &str) -> Result<(), ParseError> {
        self.cursor.skip_space();
        self.cursor.finish(expected)
    }

    fn dentry(&mut self) -> Result<Dentry, ParseError> {
        let prefix = self.prefix()?;
        self.cursor.skip_space();
        self.cursor.expect(b'=', "'=>'")?;
        self.cursor.expect(b'>', "'=>'")?;
        let dst = self.tree(0)?;
        Ok(Dentry { prefix, dst })
    }

    fn path(&mut self) -> Result<Path, ParseError> {
        self.slashed("a label", Self::label).map(Path::from_elems)
    }

    fn prefix(&mut self) -> Result<Prefix, ParseError> {
        let elem = |parser: &mut Self| {
            if parser.cursor.eat(b'*') {
                return Ok(Some(PrefixElem::Any));
            }
            Ok(parser.label()?.map(PrefixElem::Is))
        };
        self.slashed("'*' or a label", elem).map(Prefix::from_elems)
    }

    /// A slash and elements between slashes; only the first may be missing.
    fn slashed<E>(
        &mut self,
        expected: &str,
        elem: impl Fn(&mut Self) -> Result<Option<E>, ParseError>,
    ) -> Result<Vec<E>, ParseError> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        self.cursor.expect(b'/', "'/'")?;
        let mut elems = Vec::from_iter(elem(self)?);
        while !elems.is_empty() && self.cursor.eat(b'/') {
            let next = elem(self)?;
            elems.push(next.ok_or_else(|| self.cursor.fail(expected))?);
        }
        if self.cursor.at() - start > PATH_BYTES {
            let expected = format!("a path of at most {PATH_BYTES} bytes");
            return Err(self.cursor.fail_at(start, &expected));
        }
        Ok(elems)
    }

    /// One element; `None` if the next character cannot start one.
    fn label(&mut self) -> Result<Option<Elem>, ParseError> {
        let plain = self.cursor.take_while(is_plain);
        if self.cursor.peek() != b'\\' {
            return Ok(Elem::new(plain));
        }
        let mut bytes = plain.as_bytes().to_vec();
        while self.cursor.eat(b'\\') {
            self.cursor.expect(b'x', "'x' of an escape '\\xNN'")?;
            bytes.push(self.hex_digit()? * 16 + self.hex_digit()?);
            bytes.extend_from_slice(self.cursor.take_while(is_plain).as_bytes());
        }
        Ok(Elem::new(bytes))
    }

    fn hex_digit(&mut self) -> Result<u8, ParseError> {
        let next = self.cursor.peek();
        match char::from(next).to_digit(16) {
            Some(value) if self.cursor.eat(next) => Ok(value as u8),
            _ => Err(self.cursor.fail("a hex digit")),
        }
    }

    fn tree(&mut self, depth: usize) -> Result<NameTree<Path>, ParseError> {
        let first = self.union(depth)?;
        self.cursor.skip_space();
        if self.cursor.peek() != b'|' {
            return Ok(first);
        }
        let mut trees = vec![first];
        while self.cursor.eat(b'|') {
            trees.push(self.union(depth)?);
            self.cursor.skip_space();
        }
        Ok(NameTree::Alt(trees))
    }

    fn union(&mut self, depth: usize) -> Result<NameTree<Path>, ParseError> {
        let first = self.weighted(depth)?;
        self.cursor.skip_space();
        if self.cursor.peek() != b'&' {
            return Ok(first.tree);
        }
        let mut branches = vec![first];
        while self.cursor.eat(b'&') {
            branches.push(self.weighted(depth)?);
            self.cursor.skip_space();
        }
        Ok(NameTree::Union(branches))
    }

    fn weighted(&mut self, depth: usize) -> Result<Weighted<Path>, ParseError> {
        self.cursor.skip_space();
        let next = self.cursor.peek();
        if !(next == b'.' || next.is_ascii_digit()) {
            let tree = self.simple(depth, "a path, '!', '~', '$', '(' or a weight")?;
            return Ok(Weighted {
                weight: Weight::ONE,
                tree,
            });
        }
        let weight = self.number()?;
        self.cursor.skip_space();
        self.cursor.expect(b'*', "'*' behind the weight")?;
        self.cursor.skip_space();
        let tree = self.simple(depth, "a path, '!', '~', '$' or '('")?;
        Ok(Weighted { weight, tree })
    }

    fn number(&mut self) -> Result<Weight, ParseError> {
        let start = self.cursor.at();
        let whole = self.cursor.take_while(|b| b.is_ascii_digit());
        let dot = self.cursor.eat(b'.');
        if dot {
            let decimals = self.cursor.take_while(|b| b.is_ascii_digit());
            if whole.is_empty() && decimals.is_empty() {
                return Err(self.cursor.fail("a digit"));
            }
        }
        let value = self.cursor.since(start).parse().ok();
        value
            .and_then(Weight::new)
            .ok_or_else(|| self.cursor.fail_at(start, "a weight that is not too large"))
    }

    fn simple(&mut self, depth: usize, expected: &str) -> Result<NameTree<Path>, ParseError> {
        let kind = self.cursor.peek();
        if kind == b'(' {
            return self.nested(depth);
        }
        if self.leaves == DTAB_LEAVES {
            let expected = format!("at most {DTAB_LEAVES} leaves");
            return Err(self.cursor.fail(&expected));
        }
        self.leaves += 1;
        let tree = match kind {
            b'/' => return self.path().map(NameTree::Leaf),
            b'~' => NameTree::Neg,
            b'!' => NameTree::Fail,
            b'$' => NameTree::Empty,
            _ => return Err(self.cursor.fail(expected)),
        };
        self.cursor.eat(kind);
        Ok(tree)
    }

    fn nested(&mut self, depth: usize) -> Result<NameTree<Path>, ParseError> {
        if depth == TREE_DEPTH {
            let expected = format!("at most {TREE_DEPTH} levels of parentheses");
            return Err(self.cursor.fail(&expected));
        }
        self.cursor.eat(b'(');
        let tree = self.tree(depth + 1)?;
        self.cursor.expect(b')', "'|', '&' or ')'")?;
        Ok(tree)
    }
}
