//! Values of the tree, with everything in them.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::data::{self, Data};
use super::super::yaml::{Kind, Yaml};
use super::Builder;
use crate::diagnostic::{Code, Diagnostic, Spanned};
use crate::syntax::Value;

impl Builder<'_, '_> {
    /// A value with everything in it.
    pub(super) fn data(&mut self, yaml: &Yaml) -> Option<Spanned<Data>> {
        let data = match &yaml.kind {
            Kind::Scalar(text, plain) => self.scalar(text, *plain, yaml.tag.as_ref())?,
            Kind::List(items) => {
                self.plain_tag(yaml, "!!seq")?;
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    if !self.count(item.span) {
                        return None;
                    }
                    list.extend(self.data(item));
                }
                Data::List(list)
            }
            Kind::Map(pairs) => {
                self.plain_tag(yaml, "!!map")?;
                self.map(pairs)
            }
        };
        Some(Spanned::new(data, yaml.span))
    }

    fn map(&mut self, pairs: &[(Arc<Yaml>, Arc<Yaml>)]) -> Data {
        let (mut all, mut map, mut names) = (Vec::new(), Vec::new(), HashMap::new());
        self.flatten(pairs, &mut all);
        for (key, value, merged) in all {
            if !self.count(key.span) {
                break;
            }
            if let Some(tag) = key.tag.as_ref().filter(|tag| !tag.node.starts_with("!!")) {
                self.bad_tag(tag);
            } else if let Some(name) = self.name(key)
                && self.fresh(&mut names, name, key.span, merged)
                && let Some(value) = self.data(value)
            {
                map.push((Spanned::new(name.clone(), key.span), value));
            }
        }
        Data::Map(map)
    }

    fn scalar(&mut self, text: &Arc<str>, plain: bool, tag: Option<&Spanned<Arc<str>>>) -> Option<Data> {
        let value = match tag.map(|tag| (&*tag.node, tag)) {
            None if plain => data::plain(text),
            None | Some(("!!str" | "!", _)) => Value::Text(text.clone()),
            Some(("!!null", _)) => Value::Null,
            Some((name @ ("!!int" | "!!float" | "!!bool"), tag)) => {
                let value = match name {
                    "!!int" => data::integer(text).map(Value::Int),
                    "!!float" => data::float(text).or_else(|| text.parse().ok()).map(Value::Float),
                    _ => Some(data::plain(text)).filter(|value| matches!(value, Value::Bool(_))),
                };
                if value.is_none() {
                    let message = format!("`{text}` is no `{name}`");
                    self.problems.push(Diagnostic::new(Code::WrongType, tag.span, message));
                }
                value?
            }
            Some((_, tag)) => {
                self.bad_tag(tag);
                return None;
            }
        };
        Some(Data::Scalar(value, text.clone()))
    }

    fn plain_tag(&mut self, yaml: &Yaml, own: &str) -> Option<()> {
        let other = yaml.tag.as_ref().filter(|tag| *tag.node != *own);
        other.map_or(Some(()), |tag| {
            self.bad_tag(tag);
            None
        })
    }
}
