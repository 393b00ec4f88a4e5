//! Looking values up: by key and path as Avocado does, and what stands at a path.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;
use regex::Regex;

use super::node::{Entry, Node};
use super::{Data, Limits, NodeId, Tree};
use crate::diagnostic::{Span, Spanned};

/// The paths that are looked at first, and the only ones that a relative path is looked up in.
const FIRST: &str = "/run/*";

/// What a set of leaves says: all of a tree, or one variant of it.
#[derive(Clone, Debug)]
pub struct Params {
    pub(super) tree: Arc<Tree>,
    pub(super) leaves: Vec<NodeId>,
    /// The leaves with their paths: those below `/run` first, then the others.
    slices: [Vec<(NodeId, String)>; 2],
}

/// A value that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Hit {
    /// Where its key stands.
    pub key: Span,
    /// The value; lists of one key are joined along the path, outermost first.
    pub value: Spanned<Data>,
    /// The path of the node that has it.
    pub path: String,
}

/// Nodes that give a key different values, where nothing says which of them counts.
#[derive(Clone, PartialEq, Debug)]
pub struct Clash {
    /// One for each of the nodes, at least two.
    pub hits: Vec<Hit>,
}

/// Something that stands at a path.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// Its name.
    pub name: Spanned<Arc<str>>,
    /// Its path: `/run/streams/first`.
    pub path: String,
    /// Its value; of a node, a map of what stands in it, without what it inherits.
    pub data: Spanned<Data>,
}

impl Default for Params {
    fn default() -> Self {
        Arc::new(Tree::new(Node::default(), Limits::default())).all()
    }
}

impl Params {
    /// The tree that this is of.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The paths of its leaves, in order.
    pub fn paths(&self) -> Vec<String> {
        self.leaves.iter().map(|leaf| self.tree.path(*leaf)).collect()
    }

    /// The names of all keys, each once.
    pub fn names(&self) -> HashSet<&str> {
        self.tree.nodes.iter().flat_map(|node| node.values.keys()).map(|name| &**name).collect()
    }

    pub(super) fn new(tree: Arc<Tree>, leaves: Vec<NodeId>) -> Self {
        let first = pattern(FIRST);
        let paths = leaves.iter().map(|leaf| (*leaf, tree.path(*leaf) + "/"));
        let (run, other) = paths.partition(|(_, path)| first.is_match(path));
        Self { tree, leaves, slices: [run, other] }
    }

    /// Avocado's `params.get(key, path)`: the value of `key` that the leaves at `path` have or inherit.
    ///
    /// `*` stands for any characters of one name, at the end of a path for anything at all. A relative path is looked up
    /// below `/run`; an absolute one there first, then elsewhere.
    pub fn get(&self, key: &str, path: &str) -> Result<Option<Hit>, Clash> {
        let matcher = pattern(path);
        let slices = if path.starts_with('/') { 2 } else { 1 };
        for leaves in &self.slices[..slices] {
            let matching = leaves.iter().filter(|(_, path)| matcher.is_match(path));
            let origins: Vec<(NodeId, &Entry)> = matching.filter_map(|(leaf, _)| self.nearest(*leaf, key)).collect();
            if let Some(found) = self.agreed(key, &origins) {
                return found.map(Some);
            }
        }
        Ok(None)
    }

    /// The nodes called `name` that stand right below nodes at `path`, with what they hold: what a key is whose value is
    /// a map.
    pub fn maps(&self, name: &str, path: &str) -> Vec<Found> {
        let matcher = pattern(path);
        let alive = self.alive();
        let below = |id: &NodeId| {
            let node = self.tree.node(*id);
            let parent = node.parent.filter(|_| *node.name.node == *name && alive.contains(id))?;
            matcher.is_match(&(self.tree.path(parent) + "/")).then_some(*id)
        };
        self.tree.ids().filter_map(|id| below(&id)).map(|id| self.found(id)).collect()
    }

    fn found(&self, id: NodeId) -> Found {
        Found { path: self.tree.path(id), name: self.tree.node(id).name.clone(), data: self.tree.data(id) }
    }

    /// Every key that stands in nodes at `path` itself, with its value; the same rules as for [`Params::get`].
    pub fn keys(&self, path: &str) -> Result<IndexMap<Arc<str>, Hit>, Clash> {
        let matcher = pattern(path);
        let mut keys = IndexMap::new();
        for (leaf, _) in self.slices.iter().flatten().filter(|(_, path)| matcher.is_match(path)) {
            let mut nodes: Vec<_> = self.tree.up(*leaf).collect();
            nodes.retain(|(id, _)| matcher.is_match(&(self.tree.path(*id) + "/")));
            for (_, node) in nodes.iter().rev() {
                for key in node.values.keys().filter(|key| !keys.contains_key(*key)).cloned().collect::<Vec<_>>() {
                    if let Some(hit) = self.get(&key, path)? {
                        keys.insert(key, hit);
                    }
                }
            }
        }
        Ok(keys)
    }

    /// What stands at a path, in the order of the files: nodes and values alike. Each `*` stands for characters of one
    /// name, so `/streams/*` is everything in the node `streams`.
    pub fn at(&self, path: &str) -> Vec<Found> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let Some((last, above)) = parts.split_last() else { return Vec::new() };
        let alive = self.alive();
        let mut nodes = self.tops();
        for part in above {
            let matcher = whole(part);
            let below = nodes.iter().flat_map(|id| &self.tree.node(*id).children).copied();
            nodes = below.filter(|id| alive.contains(id) && matcher.is_match(&self.tree.node(*id).name.node)).collect();
        }
        let matcher = whole(last);
        let mut found: Vec<Found> = nodes.iter().flat_map(|id| self.inside(*id, &matcher, &alive)).collect();
        // The top of the tree has `/run` in it, where files stand; that is the place and nothing that stands there.
        found.retain(|found| found.path != "/run");
        found
    }

    /// The tops of the files: what stands beside `/run`, and what stands in it.
    fn tops(&self) -> Vec<NodeId> {
        let root = Tree::root();
        let run = self.tree.node(root).children.iter().filter(|id| *self.tree.node(**id).name.node == *"run");
        std::iter::once(root).chain(run.copied()).collect()
    }

    /// The leaves and everything above them.
    fn alive(&self) -> HashSet<NodeId> {
        let mut alive = HashSet::new();
        for leaf in &self.leaves {
            for (id, _) in self.tree.up(*leaf) {
                if !alive.insert(id) {
                    break;
                }
            }
        }
        alive
    }

    fn inside(&self, id: NodeId, matcher: &Regex, alive: &HashSet<NodeId>) -> Vec<Found> {
        let node = self.tree.node(id);
        let path = |name: &str| format!("{}/{name}", self.tree.path(id).trim_end_matches('/'));
        let values = node.values.iter().filter(|(name, _)| matcher.is_match(name)).map(|(name, entry)| {
            let name = Spanned::new(name.clone(), entry.key);
            (entry.rank, Found { path: path(&name.node), name, data: entry.value.clone() })
        });
        let children = node.children.iter().filter(|child| alive.contains(child)).filter_map(|child| {
            let it = self.tree.node(*child);
            matcher.is_match(&it.name.node).then(|| (it.rank, self.found(*child)))
        });
        let mut all: Vec<(u32, Found)> = values.chain(children).collect();
        all.sort_by_key(|(rank, _)| *rank);
        all.into_iter().map(|(_, found)| found).collect()
    }

    /// The innermost node at or above `leaf` that has `key`.
    fn nearest(&self, leaf: NodeId, key: &str) -> Option<(NodeId, &Entry)> {
        self.tree.up(leaf).find_map(|(id, node)| Some((id, node.values.get(key)?)))
    }

    /// What all origins agree on; `None` where there is none.
    fn agreed(&self, key: &str, origins: &[(NodeId, &Entry)]) -> Option<Result<Hit, Clash>> {
        let mut seen = HashSet::new();
        let different: Vec<_> = origins.iter().filter(|(id, _)| seen.insert(*id)).collect();
        let mut hits = different.into_iter().map(|(id, entry)| self.hit(*id, key, entry));
        let first = hits.next()?;
        let others: Vec<Hit> = hits.collect();
        if others.is_empty() {
            return Some(Ok(first));
        }
        Some(Err(Clash { hits: std::iter::once(first).chain(others).collect() }))
    }

    fn hit(&self, id: NodeId, key: &str, entry: &Entry) -> Hit {
        Hit { key: entry.key, value: self.tree.joined(id, key, &entry.value), path: self.tree.path(id) }
    }
}

/// A path as a pattern over paths that end with `/`: anywhere in them, at their end unless it ends with `*`.
fn pattern(path: &str) -> Regex {
    if path.is_empty() {
        return regex("^$");
    }
    match path.strip_suffix('*') {
        Some(open) => regex(&starred(open)),
        None => regex(&format!("{}$", starred(path))),
    }
}

/// A pattern over whole names.
fn whole(name: &str) -> Regex {
    regex(&format!("^{}$", starred(name)))
}

/// Nothing but `*` is special.
fn starred(path: &str) -> String {
    path.split('*').map(regex::escape).collect::<Vec<_>>().join("[^/]*")
}

fn regex(text: &str) -> Regex {
    // Escaped text and `[^/]*` make a regex always; one that is too large for the engine matches nothing.
    Regex::new(text).unwrap_or_else(|_| Regex::new("^$x").expect("this is a regex"))
}
