//! The tree in a short form that tests can read: `(on [ssh] (code shell "true"))`.

use crate::syntax::ast::{
    Argument, Block, Body, Code, Expr, ExprKind, File, Item, Name, Opt, Pick, PickKind, Piece, Statement,
    StatementKind, Text, TextForm,
};
use crate::syntax::value::Value;

/// A whole file, one item a line.
pub(super) fn file(file: &File) -> String {
    file.items.iter().map(item).collect::<Vec<_>>().join("\n")
}

fn item(item: &Item) -> String {
    match item {
        Item::Scenario(title) => format!("(scenario {:?})", title.node),
        Item::Stream(stream) => {
            let fleet = stream.fleet.map_or(String::new(), |fleet| format!("[{}..{}]", fleet.node.0, fleet.node.1));
            let binding = stream.binding.as_ref().map_or(String::new(), |binding| format!(" {}", expr(binding)));
            format!("(stream {}{fleet}{binding})", stream.name.node)
        }
        Item::Streams { file, at, .. } => format!("(streams {:?}{})", file.node, path(at.as_ref())),
        Item::Interpreter(name, value) => format!("(interpreter {} {})", name.node, expr(value)),
        Item::Set(name, value) => format!("(set {} {})", name.node, expr(value)),
        Item::Param(param) => {
            let kind = param.kind.as_ref().map_or(String::new(), |kind| format!(": {}", kind.node));
            let default = param.default.as_ref().map_or(String::new(), |default| format!(" = {}", expr(default)));
            format!("(param {}{kind}{default}{})", param.name.node, path(param.at.as_ref()))
        }
        Item::Params(file) => format!("(params {:?})", file.node),
        Item::Barrier(name, parties) => format!("(parties {} {})", name.node, expr(parties)),
        Item::Task(task) => {
            let parameter = |(name, default): &(Name, Option<Expr>)| {
                default.as_ref().map_or(name.node.to_string(), |default| format!("{}={}", name.node, expr(default)))
            };
            let parameters = task.parameters.iter().map(parameter).collect::<Vec<_>>().join(" ");
            format!("(task {}({parameters}){})", task.name.node, block(&task.body))
        }
        Item::Import(file) => format!("(import {:?})", file.node),
        Item::On(on) => {
            let except = if on.selector.except.is_empty() {
                String::new()
            } else {
                format!(" except {}", picks(&on.selector.except))
            };
            format!("(on {}{except}{})", picks(&on.selector.picks), block(&on.body))
        }
        Item::Finally(body) => format!("(finally{})", block(body)),
    }
}

fn path(at: Option<&Name>) -> String {
    at.map_or(String::new(), |at| format!(" at {:?}", at.node))
}

fn picks(picks: &[Pick]) -> String {
    let pick = |pick: &Pick| match &pick.kind {
        PickKind::All => "ALL".to_owned(),
        PickKind::Name(name) => name.to_string(),
        PickKind::Part(name, first, last) => format!("{name}[{first}..{last}]"),
        PickKind::Regex(regex) => format!("/{regex}/"),
        PickKind::Range(first, last) => format!("{first}..{last}"),
    };
    format!("[{}]", picks.iter().map(pick).collect::<Vec<_>>().join(", "))
}

fn block(block: &Block) -> String {
    block.statements.iter().fold(String::new(), |all, one| all + " " + &statement(one))
}

fn statement(statement: &Statement) -> String {
    match &statement.kind {
        StatementKind::Code(code) => self::code(code),
        StatementKind::LetCode(name, code) => format!("(let {} {})", name.node, self::code(code)),
        StatementKind::Let(name, value) => format!("(let {} {})", name.node, expr(value)),
        StatementKind::Start(name, code) => format!("(start {} {})", name.node, self::code(code)),
        StatementKind::Prepare(name, code) => format!("(prepare {} {})", name.node, self::code(code)),
        StatementKind::Stop(name, options) => format!("(stop {}{})", name.node, self::options(options)),
        StatementKind::Trigger(name) => format!("(trigger {})", name.node),
        StatementKind::Wait(name, options) => format!("(wait {}{})", name.node, self::options(options)),
        StatementKind::Barrier(name, options) => format!("(barrier {}{})", name.node, self::options(options)),
        StatementKind::Signal(name) => format!("(signal {})", name.node),
        StatementKind::Sync(options) => format!("(sync{})", self::options(options)),
        StatementKind::Expect(value) => format!("(expect {})", expr(value)),
        StatementKind::Put(from, to) => format!("(put {} {})", expr(from), expr(to)),
        StatementKind::Get(from, to) => format!("(get {} {})", expr(from), expr(to)),
        StatementKind::Finally(body) => format!("(finally{})", block(body)),
        StatementKind::For(each) => format!("(for {} {}{})", each.name.node, expr(&each.items), block(&each.body)),
        StatementKind::If(when) => {
            let otherwise = when.otherwise.as_ref().map_or(String::new(), |body| format!(" else{}", block(body)));
            format!("(if {}{}{otherwise})", expr(&when.condition), block(&when.then))
        }
        StatementKind::Retry(group) => format!("(retry{}{})", options(&group.options), block(&group.body)),
        StatementKind::Repeat(group) => format!("(repeat{}{})", options(&group.options), block(&group.body)),
        StatementKind::Call(name, arguments) => format!("(call {}{})", name.node, self::arguments(arguments)),
    }
}

fn code(code: &Code) -> String {
    let body = match &code.body {
        Body::Text(found) => text(found),
        Body::Arguments(list) => expr(list),
    };
    format!("({}{} {body})", code.interpreter.node, options(&code.options))
}

fn options(options: &[Opt]) -> String {
    options.iter().fold(String::new(), |all, one| all + " " + &one.name.node + "=" + &expr(&one.value))
}

fn arguments(arguments: &[Argument]) -> String {
    let argument = |one: &Argument| {
        let name = one.name.as_ref().map_or(String::new(), |name| format!("{}=", name.node));
        format!(" {name}{}", expr(&one.value))
    };
    arguments.iter().map(argument).collect::<Vec<_>>().concat()
}

fn text(text: &Text) -> String {
    let form = match text.form {
        TextForm::Line => "$",
        TextForm::Quoted => "",
        TextForm::Raw => "raw",
        TextForm::Fenced => "fenced",
    };
    let piece = |piece: &Piece| match piece {
        Piece::Literal(literal) => format!("{literal:?}"),
        Piece::Hole(value, _) => format!("<{}>", expr(value)),
    };
    let pieces = text.pieces.iter().map(piece).collect::<Vec<_>>().join("+");
    let indent = if text.indent > 0 { text.indent.to_string() } else { String::new() };
    format!("{form}{indent}{pieces}")
}

/// An expression, every operation in parentheses.
pub(super) fn expr(value: &Expr) -> String {
    match &value.kind {
        ExprKind::Literal(Value::Text(text)) => format!("{text:?}"),
        ExprKind::Literal(Value::Regex(regex)) => format!("/{regex}/"),
        ExprKind::Literal(Value::Size(size)) => format!("{size}B"),
        ExprKind::Literal(Value::Float(float)) => format!("{float:?}"),
        ExprKind::Literal(other) => other.to_string(),
        ExprKind::Template(template) => text(template),
        ExprKind::Name(name) => name.to_string(),
        ExprKind::List(items) => format!("[{}]", items.iter().map(expr).collect::<Vec<_>>().join(", ")),
        ExprKind::Map(entries) => {
            let entry = |(key, value): &(Name, Expr)| format!("{}={}", key.node, expr(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        ExprKind::Range(first, last) => format!("({} .. {})", expr(first), expr(last)),
        ExprKind::Member(of, name) => format!("{}.{}", expr(of), name.node),
        ExprKind::Index(of, index) => format!("{}[{}]", expr(of), expr(index)),
        ExprKind::Call(name, found) => format!("({}:{})", name.node, arguments(found)),
        ExprKind::Code(found) => code(found),
        ExprKind::Not(of) => format!("(not {})", expr(of)),
        ExprKind::Binary(left, operator, right) => {
            format!("({} {} {})", expr(left), operator.node.symbol(), expr(right))
        }
    }
}
