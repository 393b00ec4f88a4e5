//! A tree as lines for people. Double rails lead to alternatives.

use std::sync::Arc;

use super::{Data, NodeId, Tree};
use crate::diagnostic::Span;
use crate::syntax::Value;

/// A line of a tree: a node, or a value of one.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// What leads from the node above to it.
    pub rails: String,
    /// Its name.
    pub name: Arc<str>,
    /// The value; a node has none.
    pub value: Option<Value>,
    /// Where it stands.
    pub span: Option<Span>,
}

impl Tree {
    /// The tree from the top, or nothing where no file says anything.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if !self.is_empty() {
            for top in &self.node(Self::root()).children {
                lines.push(Line {
                    rails: String::new(),
                    name: self.node(*top).name.node.clone(),
                    value: None,
                    span: None,
                });
                self.inside(*top, "", &mut lines);
            }
        }
        lines
    }

    /// All of it as one value, without its passwords.
    pub fn value(&self) -> Value {
        hidden("", &self.data(Self::root()).node)
    }

    fn inside(&self, id: NodeId, rails: &str, lines: &mut Vec<Line>) {
        let node = self.node(id);
        let mut all: Vec<(u32, Line, Option<NodeId>)> = Vec::new();
        for (name, entry) in &node.values {
            let value = Some(hidden(name, &entry.value.node));
            all.push((
                entry.rank,
                Line { rails: String::new(), name: name.clone(), value, span: Some(entry.key) },
                None,
            ));
        }
        for child in &node.children {
            let it = self.node(*child);
            let line = Line { rails: String::new(), name: it.name.node.clone(), value: None, span: Some(it.name.span) };
            all.push((it.rank, line, Some(*child)));
        }
        all.sort_by_key(|(rank, _, _)| *rank);
        let last = all.len();
        for (at, (_, line, child)) in all.into_iter().enumerate() {
            let double = child.is_some() && node.mux.is_some();
            let (branch, below) = match (double, at + 1 == last) {
                (true, true) => ("╚══ ", "    "),
                (true, false) => ("╠══ ", "║   "),
                (false, true) => ("└── ", "    "),
                (false, false) => ("├── ", "│   "),
            };
            lines.push(Line { rails: format!("{rails}{branch}"), ..line });
            if let Some(child) = child {
                self.inside(child, &format!("{rails}{below}"), lines);
            }
        }
    }
}

/// The value of a key, with passwords as stars.
fn hidden(key: &str, data: &Data) -> Value {
    match data {
        Data::Scalar(..) if key == "password" => Value::Text("***".into()),
        Data::Scalar(value, _) => value.clone(),
        Data::List(items) => Value::List(items.iter().map(|item| hidden(key, &item.node)).collect()),
        Data::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (key.node.clone(), hidden(&key.node, &value.node)));
            Value::Map(Arc::new(pairs.collect()))
        }
    }
}
