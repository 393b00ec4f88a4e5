//! Everything keeps its place.

use super::parsed;
use crate::diagnostic::{Sources, Span};
use crate::syntax::ast::{Body, Code, Item, Piece, Statement, StatementKind};

const TEXT: &str = "\u{feff}on a {
  $ echo é ${{ b }} c   
  let x = shell(timeout = 5s) ```
      one
      two ${{d}}
    ```
  if e {
    barrier f(timeout = 1s) # why
  }
  shell \"g ${{h}}\"
}
";

fn statements(text: &str) -> (Sources, Vec<Statement>) {
    let (sources, file, problems) = parsed(text);
    assert_eq!(problems, []);
    let Some(Item::On(on)) = file.items.into_iter().next() else { panic!("an `on` block stands first") };
    assert_eq!(sources.text(on.selector.span), "a");
    assert_eq!(sources.text(on.body.span), text[text.find('{').unwrap()..].trim_end());
    (sources, on.body.statements)
}

/// The span of a code's text, and those of its holes.
fn text_spans(code: &Code) -> (Span, Vec<Span>) {
    let Body::Text(text) = &code.body else { panic!("the code is a text") };
    let hole = |piece: &Piece| match piece {
        Piece::Literal(_) => None,
        Piece::Hole(_, span) => Some(*span),
    };
    (text.span, text.pieces.iter().filter_map(hole).collect())
}

#[test]
fn spans_are_bytes_of_the_file() {
    let (sources, statements) = statements(TEXT);
    let heads: Vec<&str> = statements.iter().map(|statement| sources.text(statement.span)).collect();
    let fenced = "let x = shell(timeout = 5s) ```\n      one\n      two ${{d}}\n    ```";
    assert_eq!(heads, ["$ echo é ${{ b }} c", fenced, "if e", "shell \"g ${{h}}\""]);

    let mut found = Vec::new();
    for statement in &statements {
        if let StatementKind::Code(code) | StatementKind::LetCode(_, code) = &statement.kind {
            let (text, holes) = text_spans(code);
            found.push((sources.text(text), holes.into_iter().map(|hole| sources.text(hole)).collect::<Vec<_>>()));
        }
    }
    assert_eq!(
        found,
        [
            ("echo é ${{ b }} c", vec!["${{ b }}"]),
            ("      one\n      two ${{d}}\n", vec!["${{d}}"]),
            ("g ${{h}}", vec!["${{h}}"]),
        ]
    );
    let StatementKind::If(when) = &statements[2].kind else { panic!("the third is an `if`") };
    assert_eq!(sources.text(when.condition.span), "e");
    assert_eq!(sources.text(when.then.statements[0].span), "barrier f(timeout = 1s)");
}
