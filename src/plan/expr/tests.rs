//! Expressions: what they come to, how they are shown and how their failure is explained.

use std::sync::Arc;
use std::time::Duration;

use super::{Context, Expr, Field, evaluate, explain, holds, show};
use crate::diagnostic::Span;
use crate::plan::sketch::sketch;
use crate::plan::{Plan, ValueId};
use crate::scenario::StreamId;
use crate::syntax::Value;
use crate::syntax::ast::Operator;

/// A run in which `probe` ended with 7 and printed `{"port": 8080}`.
struct Run;

impl Context for Run {
    fn value(&self, id: ValueId, field: Field) -> Option<Value> {
        match (id, field) {
            (ValueId(0), Field::Exit) => Some(Value::Int(7)),
            (ValueId(0), Field::Duration) => Some(Value::Duration(Duration::from_millis(1500))),
            (ValueId(0), Field::Stdout) => Some(text("{\"port\": 8080}\n")),
            (ValueId(0), Field::Whole) => Some(text("{\"port\": 8080}")),
            (ValueId(0), Field::Json) => Some(serde_json::json!({ "port": 8080 }).into()),
            (ValueId(1), Field::Stdout) => Some(Value::Bytes([0xff].as_slice().into())),
            _ => None,
        }
    }

    fn host(&self, stream: StreamId) -> Option<Value> {
        (stream == StreamId(0)).then(|| text("10.0.0.1"))
    }

    fn success(&self, stream: StreamId) -> bool {
        stream == StreamId(0)
    }

    fn secret(&self, name: &str) -> Option<Value> {
        (name == "KEY").then(|| text("hush"))
    }
}

fn plan() -> Plan {
    sketch("a: let probe $ probe; let other $ other\nb: $ run\nfinale: $ report")
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn constant(value: impl Into<Constant>) -> Expr {
    Expr::Constant(value.into().0)
}

/// What a test may write for a value.
struct Constant(Value);

impl From<i64> for Constant {
    fn from(value: i64) -> Self {
        Self(Value::Int(value))
    }
}

impl From<f64> for Constant {
    fn from(value: f64) -> Self {
        Self(Value::Float(value))
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Self {
        Self(Value::Bool(value))
    }
}

impl From<&str> for Constant {
    fn from(value: &str) -> Self {
        Self(text(value))
    }
}

impl From<Value> for Constant {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

fn probe(field: Field) -> Expr {
    Expr::Value(ValueId(0), field)
}

fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    Expr::Binary(Box::new((left, operator, right)), Span::default())
}

/// What an operator says, `true`, `false` or the error.
fn said(left: impl Into<Constant>, operator: Operator, right: impl Into<Constant>) -> String {
    match holds(&binary(constant(left), operator, constant(right)), &Run) {
        Ok(answer) => answer.to_string(),
        Err(unknown) => unknown.to_string(),
    }
}

#[test]
fn numbers_compare_across_kinds_and_durations_with_durations() {
    let second = |count| Value::Duration(Duration::from_secs(count));
    assert_eq!(said(1, Operator::Equal, 1.0), "true");
    assert_eq!(said(1, Operator::Less, 1.5), "true");
    assert_eq!(said(i64::MAX, Operator::Greater, i64::MAX - 1), "true");
    assert_eq!(said(Value::Size(1024), Operator::AtLeast, 1024), "true");
    assert_eq!(said(f64::NAN, Operator::Equal, 1.0), "false");
    assert_eq!(said(second(1), Operator::AtMost, second(2)), "true");
    assert_eq!(said("a", Operator::Less, "b"), "true");
    assert_eq!(said(second(1), Operator::Less, 2), "cannot compare a duration with an integer");
    assert_eq!(said("1", Operator::Equal, 1), "cannot compare a string with an integer");
    assert_eq!(said("1", Operator::NotEqual, Value::Null), "true");
}

#[test]
fn text_matches_anywhere_and_everything_else_is_told() {
    let regex = |pattern: &str| Value::Regex(pattern.into());
    assert_eq!(said("a-200-b", Operator::Matches, regex("2.0")), "true");
    assert_eq!(said("a-200-b", Operator::Matches, regex("^2")), "false");
    assert_eq!(said(200, Operator::Matches, regex("2")), "only text can match a regex, and this is an integer");
    assert_eq!(said("a", Operator::Matches, 2), "`matches` wants a regex, and this is an integer");
    assert!(said("a", Operator::Matches, regex("(")).starts_with("/(/ is not a regex:"));
}

#[test]
fn texts_lists_and_maps_contain() {
    let list = || Value::List([Value::Int(1), text("x")].into());
    let map = || Value::Map(Arc::new([("key".into(), Value::Null)].into_iter().collect()));
    assert_eq!(said("abc", Operator::Contains, "b"), "true");
    assert_eq!(said("b", Operator::In, "abc"), "true");
    assert_eq!(said(list(), Operator::Contains, 1.0), "true");
    assert_eq!(said("y", Operator::In, list()), "false");
    assert_eq!(said("key", Operator::In, map()), "true");
    assert_eq!(said(1, Operator::Contains, 1), "an integer cannot contain an integer");
    assert_eq!(said(list(), Operator::Equal, list()), "true");
    assert_eq!(said(map(), Operator::NotEqual, map()), "false");
}

#[test]
fn conditions_are_booleans_and_stop_early() {
    let boom = || binary(constant(1), Operator::Contains, constant(1));
    assert_eq!(holds(&binary(constant(false), Operator::And, boom()), &Run), Ok(false));
    assert_eq!(holds(&binary(constant(true), Operator::Or, boom()), &Run), Ok(true));
    let unknown = holds(&constant(1), &Run).unwrap_err();
    assert_eq!(unknown.to_string(), "a condition must be true or false, and this is an integer");
}

#[test]
fn what_a_run_has_not_made_is_an_error_in_words() {
    let said = |expr: Expr| evaluate(&expr, &Run).map_or_else(|unknown| unknown.0, |value| value.to_string());
    assert_eq!(said(Expr::Value(ValueId(1), Field::Exit)), "`value 1.exit` was never made");
    assert_eq!(said(Expr::Value(ValueId(1), Field::Json)), "`value 1` is not JSON");
    assert_eq!(said(Expr::Host(StreamId(1))), "the address of a stream that is not open is not known");
    assert_eq!(said(Expr::Secret("NONE".into())), "the secret `NONE` is not set");
    let port = |key| Expr::Index(Box::new(probe(Field::Json)), Box::new(constant(key)));
    assert_eq!(said(port("port")), "8080");
    assert_eq!(said(port("path")), "there is no `path` in the map");
    let concat = Expr::Concat([constant("http://"), Expr::Host(StreamId(0)), constant(":"), port("port")].into());
    assert_eq!(said(concat), "http://10.0.0.1:8080");
}

#[test]
fn expressions_are_shown_as_an_author_writes_them() {
    let plan = plan();
    let port = Expr::Index(Box::new(probe(Field::Json)), Box::new(constant("port")));
    let equal = binary(probe(Field::Exit), Operator::Equal, constant(0));
    let either = binary(equal.clone(), Operator::Or, constant(true));
    let all = [
        show(&equal, &plan),
        show(&binary(port, Operator::In, Expr::List([constant(1), constant("x")].into())), &plan),
        show(&Expr::Not(Box::new(Expr::Success([StreamId(1)].into()))), &plan),
        show(&Expr::Not(Box::new(equal)), &plan),
        show(&Expr::Success([StreamId(0), StreamId(1)].into()), &plan),
        show(&binary(either, Operator::And, constant(false)), &plan),
        show(&binary(probe(Field::Whole), Operator::Matches, constant(Value::Regex("^2..".into()))), &plan),
        show(&Expr::Concat([constant("at "), Expr::Host(StreamId(0)), Expr::Secret("KEY".into())].into()), &plan),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    probe.exit == 0
    probe.json.port in [1, "x"]
    not b.success
    not (probe.exit == 0)
    streams.success
    (probe.exit == 0 or true) and false
    probe matches /^2../
    "at ${{a.host}}${{secret("KEY")}}"
    "#);
}

#[test]
fn an_explanation_names_every_part_that_only_the_run_knew() {
    let plan = plan();
    let exit = binary(probe(Field::Exit), Operator::Equal, constant(0));
    let long = binary(probe(Field::Duration), Operator::Less, constant(Value::Duration(Duration::from_secs(1))));
    let both = binary(exit, Operator::Or, long);
    let secret = binary(Expr::Secret("KEY".into()), Operator::Equal, probe(Field::Stdout));
    let streams = Expr::Success([StreamId(0), StreamId(1)].into());
    let all = [both, secret, streams].map(|expr| explain(&expr, &plan, &Run).join("\n"));
    insta::assert_snapshot!(all.join("\n\n"), @r#"
    probe.exit == 0 or probe.duration < 1s
    probe.exit is 7
    probe.duration is 1.5s

    secret("KEY") == probe.stdout
    secret("KEY") is hidden
    probe.stdout is "{\"port\": 8080}\n"

    streams.success
    a.success is true
    b.success is false
    "#);
}
