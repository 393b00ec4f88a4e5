//! Variants: one for every way to choose a child of each `!mux` node, less those that a filter takes away.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use sha1::{Digest as _, Sha1};

use super::node::Entry;
use super::tree::Flat;
use super::{NodeId, Params, Tree, python};
use crate::diagnostic::Diagnostic;

/// How many leaves all variants together may have.
const MAX_LEAVES: usize = 10_000_000;

/// One variant of a tree.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name, the same that Avocado gives it: the names of its nodes, and a hash of their values.
    pub id: Arc<str>,
    /// The paths of its leaves, in order.
    pub paths: Vec<String>,
    /// What it says.
    pub params: Params,
}

/// The variants of a tree, in Avocado's order: the last `!mux` changes fastest.
#[derive(Clone, Debug)]
pub struct Variants {
    tree: Arc<Tree>,
    pools: Vec<Pool>,
    next: usize,
    count: usize,
}

/// A part of every variant.
#[derive(Clone, Debug)]
enum Pool {
    Leaf(NodeId),
    /// One of these, each with the number of its variants.
    Mux(Vec<(Vec<Pool>, usize)>),
}

impl Tree {
    /// All variants; a tree without `!mux` has one. An error where there are more than the limit allows.
    pub fn variants(self: &Arc<Self>) -> Result<Variants, Box<Diagnostic>> {
        let pools = self.pools(Self::root());
        let count = product(&pools);
        let variants = Variants { tree: self.clone(), pools, next: 0, count };
        let leaves = variants.leaves(0).len();
        if count <= self.limits.variants && count.saturating_mul(leaves) <= MAX_LEAVES {
            return Ok(variants);
        }
        let limit = self.limits.variants.min(MAX_LEAVES / leaves.max(1));
        let many = if count == usize::MAX {
            "more variants than can be counted".to_owned()
        } else {
            format!("{count} variants")
        };
        let message = format!("the parameters have {many}; the limit is {limit}");
        let last = self.nodes.iter().rev().find_map(|node| node.mux);
        Err(self.limits.exceeded(last.unwrap_or_default(), message))
    }

    /// The leaves and `!mux` nodes below `id`, those below a `!mux` node left out.
    fn pools(&self, id: NodeId) -> Vec<Pool> {
        let node = self.node(id);
        if node.children.is_empty() {
            return vec![Pool::Leaf(id)];
        }
        if node.mux.is_none() {
            return node.children.iter().flat_map(|child| self.pools(*child)).collect();
        }
        let each = node.children.iter().map(|child| {
            let pools = self.pools(*child);
            let count = product(&pools);
            (pools, count)
        });
        vec![Pool::Mux(each.collect())]
    }

    /// Whether the filters of these leaves let them stand together.
    fn valid(&self, leaves: &[NodeId]) -> bool {
        let all: BTreeSet<NodeId> = leaves.iter().flat_map(|leaf| self.up(*leaf).map(|(id, _)| id)).collect();
        let of = |which: fn(&Flat) -> &Vec<Arc<str>>| -> BTreeSet<Arc<str>> {
            all.iter().flat_map(|id| which(self.node(*id))).cloned().collect()
        };
        let (only, out) = (of(|node| &node.filters.only), of(|node| &node.filters.out));
        if only.is_empty() && out.is_empty() {
            return true;
        }
        let paths: Vec<String> = leaves.iter().map(|leaf| self.path(*leaf) + "/").collect();
        let taken_out = paths.iter().any(|path| out.iter().any(|out| path.starts_with(&**out)));
        !taken_out && paths.iter().all(|path| kept(path, &only))
    }

    /// What Avocado makes the hash of: everything that a leaf has and inherits, as Python prints it.
    fn fingerprint(&self, leaf: NodeId) -> String {
        let mut environment = BTreeMap::new();
        for (id, node) in self.up(leaf) {
            for (key, entry) in &node.values {
                environment.entry(&**key).or_insert((id, entry));
            }
        }
        let show = |(key, (id, entry)): (&&str, &(NodeId, &Entry))| {
            format!("{key}: {}", python::text(&self.joined(*id, key, &entry.value).node))
        };
        let values: Vec<String> = environment.iter().map(show).collect();
        let origins: Vec<String> =
            environment.iter().map(|(key, (id, _))| format!("{key}: {}", self.path(*id))).collect();
        let filters = |which: fn(&Flat) -> &Vec<Arc<str>>| {
            let all: BTreeSet<&Arc<str>> = self.up(leaf).flat_map(|(_, node)| which(node)).collect();
            all.iter().map(|path| format!("'{path}'")).collect::<Vec<_>>().join(", ")
        };
        format!(
            "{}{{{}}},{{{}}},FilterSet([{}]),FilterSet([{}])[]",
            self.path(leaf),
            values.join(", "),
            origins.join(", "),
            filters(|node| &node.filters.only),
            filters(|node| &node.filters.out)
        )
    }

    fn variant_id(&self, leaves: &[NodeId]) -> String {
        let mut sorted: Vec<(String, NodeId)> = leaves.iter().map(|leaf| (self.path(*leaf), *leaf)).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut name, mut seen) = (Vec::new(), HashSet::new());
        for (_, leaf) in &sorted {
            let mut path: Vec<&str> = self.up(*leaf).map(|(_, node)| &*node.name.node).collect();
            path.pop();
            path.reverse();
            path.retain(|part| !seen.contains(part));
            seen.extend(path.iter().copied());
            name.extend(path);
        }
        let prints: Vec<String> = sorted.iter().map(|(_, leaf)| self.fingerprint(*leaf)).collect();
        let hash = Sha1::digest(prints.join("\n"));
        format!("{}-{:02x}{:02x}", name.join("-"), hash[0], hash[1])
    }
}

/// Avocado's rule for `!filter-only`: of the filters that speak of the siblings of a node, or of those of a node above
/// it, the deepest count, and one of them must let it stay.
fn kept(path: &str, only: &BTreeSet<Arc<str>>) -> bool {
    let parent = above(path);
    let (mut keep, mut remove) = (0, 0);
    for filter in only {
        let level = filter.matches('/').count();
        if level >= keep.max(remove) && parent.starts_with(&above(filter)) {
            *(if path.starts_with(&**filter) { &mut keep } else { &mut remove }) = level;
        }
    }
    remove <= keep
}

/// The path above one that ends with `/`.
fn above(path: &str) -> String {
    let mut parts = path.rsplitn(3, '/');
    let (_, name, rest) = (parts.next(), parts.next(), parts.next());
    format!("{}/", rest.or(name).unwrap_or_default())
}

fn product(pools: &[Pool]) -> usize {
    let of = |pool: &Pool| match pool {
        Pool::Leaf(_) => 1,
        Pool::Mux(each) => each.iter().fold(0_usize, |sum, (_, count)| sum.saturating_add(*count)),
    };
    pools.iter().map(of).fold(1, usize::saturating_mul)
}

/// The leaves of one choice: `at` counts them, the last pool changing fastest.
fn choose(pools: &[Pool], mut at: usize, leaves: &mut Vec<NodeId>) {
    let mut parts = Vec::with_capacity(pools.len());
    for pool in pools.iter().rev() {
        let size = product(std::slice::from_ref(pool));
        parts.push((pool, at % size));
        at /= size;
    }
    for (pool, mut at) in parts.into_iter().rev() {
        match pool {
            Pool::Leaf(leaf) => leaves.push(*leaf),
            Pool::Mux(each) => {
                for (pools, count) in each {
                    if at < *count {
                        choose(pools, at, leaves);
                        break;
                    }
                    at -= count;
                }
            }
        }
    }
}

impl Variants {
    fn leaves(&self, at: usize) -> Vec<NodeId> {
        let mut leaves = Vec::new();
        choose(&self.pools, at, &mut leaves);
        leaves
    }
}

impl Iterator for Variants {
    type Item = Variant;

    fn next(&mut self) -> Option<Variant> {
        while self.next < self.count {
            let leaves = self.leaves(self.next);
            self.next += 1;
            if self.tree.valid(&leaves) {
                let id = self.tree.variant_id(&leaves).into();
                let paths = leaves.iter().map(|leaf| self.tree.path(*leaf)).collect();
                return Some(Variant { id, paths, params: Params::new(self.tree.clone(), leaves) });
            }
        }
        None
    }
}
