//! The tree once all files are read: nodes with their parents, found by number.

use std::sync::Arc;

use indexmap::IndexMap;

use super::build::Builder;
use super::node::{Entry, Filters, Node};
use super::{Data, File, Limits, Params, Read};
use crate::diagnostic::{Diagnostic, FileId, Sources, Span, Spanned};

/// A node of a [`Tree`], in the order of a walk from the top.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u32);

/// All files, merged.
#[derive(Debug)]
pub struct Tree {
    pub(super) nodes: Vec<Flat>,
    pub(super) limits: Limits,
}

/// A node without what is below it.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) name: Spanned<Arc<str>>,
    pub(super) parent: Option<NodeId>,
    pub(super) children: Vec<NodeId>,
    pub(super) values: IndexMap<Arc<str>, Entry>,
    /// Where it says `!mux`.
    pub(super) mux: Option<Span>,
    pub(super) filters: Filters,
    pub(super) rank: u32,
}

impl Tree {
    /// Reads files and merges them in order. The tree is whole only where no error comes with it.
    pub fn read(
        files: &[File],
        limits: &Limits,
        read: &mut Read<'_>,
        sources: &mut Sources,
    ) -> (Arc<Self>, Vec<Diagnostic>) {
        let (tree, _, problems) = Self::read_over(files, &[], limits, read, sources);
        (tree, problems)
    }

    /// Reads files and others over them. Everything in the others has the [`FileId`] that comes back, or a later one.
    pub fn read_over(
        files: &[File],
        over: &[File],
        limits: &Limits,
        read: &mut Read<'_>,
        sources: &mut Sources,
    ) -> (Arc<Self>, FileId, Vec<Diagnostic>) {
        let mut builder = Builder::new(limits, read, sources);
        builder.merge(files);
        let first = builder.next_file();
        builder.merge(over);
        let (root, problems) = builder.done();
        (Arc::new(Self::new(root, limits.clone())), first, problems)
    }

    pub(super) fn new(root: Node, limits: Limits) -> Self {
        let mut tree = Self { nodes: Vec::new(), limits };
        tree.push(root, None);
        tree
    }

    /// All of it at once, alternatives side by side.
    pub fn all(self: &Arc<Self>) -> Params {
        let leaves = self.ids().filter(|id| self.node(*id).children.is_empty()).collect();
        Params::new(self.clone(), leaves)
    }

    /// Whether there are alternatives in it.
    pub fn has_mux(&self) -> bool {
        self.nodes.iter().any(|node| node.mux.is_some() && !node.children.is_empty())
    }

    /// Whether no file says anything.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.nodes[0].values.is_empty()
    }

    fn push(&mut self, node: Node, parent: Option<NodeId>) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let Node { name, values, children, mux, filters, rank, .. } = node;
        let mux = mux.filter(|mux| mux.node).map(|mux| mux.span);
        self.nodes.push(Flat { name, parent, children: Vec::new(), values, mux, filters, rank });
        for (_, child) in children {
            let child = self.push(child, Some(id));
            self.nodes[id.0 as usize].children.push(child);
        }
        id
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    pub(super) fn root() -> NodeId {
        NodeId(0)
    }

    pub(super) fn node(&self, id: NodeId) -> &Flat {
        &self.nodes[id.0 as usize]
    }

    /// The node and those above it, from the inside out.
    pub(super) fn up(&self, id: NodeId) -> impl Iterator<Item = (NodeId, &Flat)> {
        std::iter::successors(Some(id), |id| self.node(*id).parent).map(|id| (id, self.node(id)))
    }

    /// The path from the top: `/run/boot`; of the top itself `/`.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut names: Vec<&str> = self.up(id).map(|(_, node)| &*node.name.node).collect();
        names.reverse();
        if names.len() == 1 { format!("/{}", names[0]) } else { names.join("/") }
    }

    /// What a node holds, as a map in the order of the files.
    pub(super) fn data(&self, id: NodeId) -> Spanned<Data> {
        let node = self.node(id);
        let values = node
            .values
            .iter()
            .map(|(name, entry)| (entry.rank, Spanned::new(name.clone(), entry.key), entry.value.clone()));
        let children = node.children.iter().map(|child| {
            let it = self.node(*child);
            (it.rank, it.name.clone(), self.data(*child))
        });
        let mut all: Vec<_> = values.chain(children).collect();
        all.sort_by_key(|(rank, _, _)| *rank);
        Spanned::new(Data::Map(all.into_iter().map(|(_, name, data)| (name, data)).collect()), node.name.span)
    }

    /// A value of a node; to a list, those of the same key above it are joined in front.
    pub(super) fn joined(&self, id: NodeId, key: &str, value: &Spanned<Data>) -> Spanned<Data> {
        let above = self.up(id).skip(1).filter_map(|(_, node)| Some(&node.values.get(key)?.value.node));
        let lists: Vec<_> = std::iter::once(&value.node).chain(above).map_while(Data::items).collect();
        if lists.len() < 2 {
            return value.clone();
        }
        Spanned::new(Data::List(lists.into_iter().rev().flatten().cloned().collect()), value.span)
    }
}
