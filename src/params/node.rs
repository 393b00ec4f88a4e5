//! Nodes while files are read, and how one is merged into another.

use std::sync::Arc;

use indexmap::IndexMap;
use regex::Regex;

use super::Data;
use crate::diagnostic::{Span, Spanned};

/// A node of the tree with everything below it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: Spanned<Arc<str>>,
    pub(super) values: IndexMap<Arc<str>, Entry>,
    pub(super) children: IndexMap<Arc<str>, Node>,
    /// Whether its children are alternatives; `!join` says that they are not.
    pub(super) mux: Option<Spanned<bool>>,
    pub(super) filters: Filters,
    /// What goes away from the node that this one is merged into.
    pub(super) removals: Vec<Removal>,
    /// Where it stands among the values and children of its parent.
    pub(super) rank: u32,
    /// The last rank that was given.
    last: u32,
}

/// A key with its value.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) key: Span,
    pub(super) value: Spanned<Data>,
    /// Where it stands among the values and children of its node.
    pub(super) rank: u32,
}

/// What `!filter-only` and `!filter-out` say, each with `/` at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters {
    pub(super) only: Vec<Arc<str>>,
    pub(super) out: Vec<Arc<str>>,
}

/// `!remove_node` or `!remove_value`, with the start of the names that it means.
#[derive(Debug)]
pub(super) enum Removal {
    Nodes(Regex),
    Values(Regex),
}

impl Node {
    pub(super) fn new(name: Spanned<Arc<str>>) -> Self {
        Self { name, ..Self::default() }
    }

    /// A node with one child.
    pub(super) fn around(name: Spanned<Arc<str>>, child: Self) -> Self {
        let mut node = Self::new(name);
        node.add(child);
        node
    }

    /// Gives a key its value; where it has one already, the new one takes its place.
    pub(super) fn set(&mut self, name: Arc<str>, mut entry: Entry) {
        entry.rank = match self.values.get(&name) {
            Some(old) => old.rank,
            None => self.ranked(),
        };
        self.values.insert(name, entry);
    }

    /// Adds a child, or merges it into the one of that name.
    pub(super) fn add(&mut self, mut child: Self) {
        if let Some(old) = self.children.get_mut(&child.name.node) {
            return old.merge(child);
        }
        child.rank = self.ranked();
        self.children.insert(child.name.node.clone(), child);
    }

    /// Merges another node into this one, whatever that is called: first what it removes, then what it brings.
    pub(super) fn merge(&mut self, other: Self) {
        for removal in &other.removals {
            match removal {
                Removal::Nodes(regex) => self.children.retain(|name, _| !regex.is_match(name)),
                Removal::Values(regex) => self.values.retain(|name, _| !regex.is_match(name)),
            }
        }
        for (name, entry) in other.values {
            self.set(name, entry);
        }
        self.filters.only.extend(other.filters.only);
        self.filters.out.extend(other.filters.out);
        for (_, child) in other.children {
            self.add(child);
        }
        self.mux = other.mux.or(self.mux);
    }

    fn ranked(&mut self) -> u32 {
        self.last += 1;
        self.last
    }
}
