//! How an interpreter is called: the argument list, environment and script that bring code and values to it unchanged.

use std::sync::Arc;

use serde_json::json;

use super::{Command, Dialect, Interpreter};
use crate::syntax::Value;

/// Linux takes 128 KiB for one argument or one variable; what is longer travels as a script.
const LONG: usize = 100 * 1024;

/// Linux takes 2 MiB for all of them together, the inherited environment included.
const MANY: usize = 512 * 1024;

/// Up to this line, empty lines before the code make a shell count as the scenario does. Above it they would cost more
/// than they tell, and the line stands in the name instead.
const PADDED: u32 = 5_000;

/// The same for code of one line, where the name alone is as exact.
const PADDED_LINE: u32 = 100;

/// Waits for the line that releases; when there is nobody left to send one, it runs nothing.
const HOLD: &str = "read -r MS_GO <&8 || exit 125; exec 8<&-; unset MS_GO; ";

/// Reads the values from [`super::SCRIPT_FD`], and closes it so that no child inherits it.
const LOAD: &str = ". /dev/fd/9; exec 9<&-; ";

/// Brings code and values to Python, and takes itself out of every traceback.
const RUNNER: &str = include_str!("runner.py");

/// Code with its values, about to be run.
#[derive(Clone, Debug, Default)]
pub struct Launch<'a> {
    /// The text that [`embed`](super::embed) made; empty for `exec`.
    pub text: &'a str,
    /// The value of each hole, in order; for `exec` the program and its arguments.
    pub values: &'a [Value],
    /// The scenario, as messages name it.
    pub file: &'a str,
    /// The line of the text's first line in it, from 1.
    pub line: u32,
    /// Whether a shell stops at the first command that fails.
    pub strict: bool,
    /// Whether it is held before its first instruction until a line comes down [`HOLD_FD`](super::HOLD_FD).
    pub staged: bool,
    /// Added to the environment, in order.
    pub env: Vec<(Arc<str>, Vec<u8>)>,
    /// What stands on its stdin.
    pub stdin: Option<Vec<u8>>,
}

/// The process that runs this code. The error says in words what cannot travel.
pub fn command(interpreter: &Interpreter, launch: Launch<'_>) -> Result<Command, String> {
    for (name, value) in &launch.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("`{name}` cannot be the name of an environment variable"));
        }
        travels(value, || format!("the environment variable `{name}`"))?;
    }
    if launch.text.contains('\0') {
        return Err("the code holds a NUL character, which no interpreter takes".to_owned());
    }
    match interpreter.dialect {
        Dialect::Shell => shell(interpreter, launch),
        Dialect::Python => Ok(python(interpreter, launch)),
        Dialect::Exec => exec(launch),
        Dialect::Other => other(interpreter, launch),
    }
}

/// Whether `bytes` fit into one argument or one variable.
fn travels(bytes: &[u8], what: impl Fn() -> String) -> Result<(), String> {
    if bytes.contains(&0) {
        return Err(format!("{} holds a NUL byte, which no argument or variable can: use a file", what()));
    }
    if bytes.len() > LONG {
        let (what, length) = (what(), bytes.len());
        return Err(format!("{what} is {length} bytes long, and at most {LONG} can travel this way: use a file"));
    }
    Ok(())
}

fn shell(interpreter: &Interpreter, launch: Launch<'_>) -> Result<Command, String> {
    let values: Vec<Vec<u8>> = launch.values.iter().map(Value::to_bytes).collect();
    if let Some(at) = values.iter().position(|value| value.contains(&0)) {
        return Err(format!("the value of hole {} holds a NUL byte, which a shell cannot take: use a file", at + 1));
    }
    let several = launch.text.contains('\n');
    let padded = launch.line <= if several { PADDED } else { PADDED_LINE };
    let above = if padded { launch.line.saturating_sub(1) } else { 0 };
    let above = "\n".repeat(above as usize);
    let long_code = launch.text.len() + above.len() > LONG;
    let scripted =
        long_code || values.iter().any(|value| value.len() > LONG) || values.iter().map(Vec::len).sum::<usize>() > MANY;
    let plain = plain(interpreter, &launch);
    let mut script = Vec::new();
    let mut env = launch.env;
    for (index, value) in values.into_iter().enumerate() {
        let name = format!("MS_{}", index + 1);
        if scripted { assign(&mut script, &name, &value) } else { env.push((name.into(), value)) }
    }
    let hold = if launch.staged { HOLD } else { "" };
    let load = if scripted { LOAD } else { "" };
    let code = if long_code {
        assign(&mut script, "MS_CODE", format!("{above}{}", launch.text).as_bytes());
        format!("{load}{hold}eval \"unset MS_CODE; $MS_CODE\"")
    } else if launch.text.starts_with(['-', '+']) {
        // A shell would take it for options.
        [" ", load, hold, &above, launch.text].concat()
    } else {
        [load, hold, &above, launch.text].concat()
    };
    let name = match (padded, several) {
        (true, _) => launch.file.to_owned(),
        (false, true) => format!("{}:{}+", launch.file, launch.line),
        (false, false) => format!("{}:{}", launch.file, launch.line),
    };
    let mut argv = words(interpreter);
    argv.extend(launch.strict.then(|| b"-e".to_vec()));
    argv.extend([b"-c".to_vec(), code.into_bytes(), name.into_bytes()]);
    Ok(Command { argv, plain, env, stdin: launch.stdin, script: scripted.then_some(script) })
}

/// The words of code that needs no shell. Bash may have been told of a file to read first.
fn plain(interpreter: &Interpreter, launch: &Launch<'_>) -> Vec<String> {
    let whole =
        launch.values.is_empty() && !launch.staged && matches!(interpreter.command.as_slice(), [it] if &**it == "sh");
    let words = whole.then(|| super::plain::words(launch.text)).flatten();
    words.unwrap_or_default().into_iter().map(str::to_owned).collect()
}

/// `NAME='value'` as a line of shell code.
fn assign(script: &mut Vec<u8>, name: &str, value: &[u8]) {
    script.extend_from_slice(name.as_bytes());
    script.extend_from_slice(b"='");
    for byte in value {
        match byte {
            b'\'' => script.extend_from_slice(b"'\\''"),
            _ => script.push(*byte),
        }
    }
    script.extend_from_slice(b"'\n");
}

fn python(interpreter: &Interpreter, launch: Launch<'_>) -> Command {
    let values: Vec<_> = launch.values.iter().map(typed).collect();
    let job = json!({
        "code": launch.text, "file": launch.file, "line": launch.line.max(1), "staged": launch.staged, "values": values,
    });
    let job = job.to_string().into_bytes();
    let mut env = launch.env;
    let mut script = None;
    if job.len() > LONG {
        script = Some(job);
    } else {
        env.push(("MS_PYTHON".into(), job));
    }
    let mut argv = words(interpreter);
    argv.extend([b"-c".to_vec(), RUNNER.as_bytes().to_vec()]);
    Command { argv, env, stdin: launch.stdin, script, ..Command::default() }
}

/// A value as JSON from which the runner makes Python's own type again; what JSON lacks is a map that says its kind.
fn typed(value: &Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Size(_) | Value::Text(_) | Value::Regex(_) => {
            value.to_json()
        }
        Value::Float(number) if number.is_finite() => (*number).into(),
        Value::Float(number) => json!({ "kind": "float", "value": number.to_string() }),
        Value::Duration(duration) => duration.as_secs_f64().into(),
        Value::Bytes(bytes) => {
            let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "kind": "bytes", "value": digits.concat() })
        }
        Value::List(items) => items.iter().map(typed).collect(),
        Value::Map(map) => {
            let pairs: Vec<_> = map.iter().map(|(key, value)| json!([&**key, typed(value)])).collect();
            json!({ "kind": "map", "value": pairs })
        }
    }
}

fn exec(launch: Launch<'_>) -> Result<Command, String> {
    let values = match launch.values {
        [Value::List(items)] => items,
        values => values,
    };
    let argv: Vec<Vec<u8>> = values.iter().map(Value::to_bytes).collect();
    match argv.first() {
        None => return Err("`exec` needs a program, and its list is empty".to_owned()),
        Some(program) if program.is_empty() => return Err("`exec` needs a program, and its name is empty".to_owned()),
        Some(_) => {}
    }
    for (index, argument) in argv.iter().enumerate() {
        travels(argument, || if index == 0 { "the program".to_owned() } else { format!("argument {index}") })?;
    }
    Ok(Command { argv: held(launch.staged, argv), env: launch.env, stdin: launch.stdin, ..Command::default() })
}

fn other(interpreter: &Interpreter, launch: Launch<'_>) -> Result<Command, String> {
    let name = &interpreter.name;
    if launch.stdin.is_some() {
        return Err(format!("`{name}` reads its code from stdin, so it takes no `stdin`"));
    }
    if interpreter.command.is_empty() {
        return Err(format!("the interpreter `{name}` names no program"));
    }
    let argv = held(launch.staged, words(interpreter));
    let stdin = Some(launch.text.as_bytes().to_vec());
    Ok(Command { argv, env: launch.env, stdin, ..Command::default() })
}

/// A program that cannot wait by itself is started by a shell that can.
fn held(staged: bool, argv: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if !staged {
        return argv;
    }
    let code = format!("{HOLD}exec \"$@\"");
    [b"sh".to_vec(), b"-c".to_vec(), code.into_bytes(), b"sh".to_vec()].into_iter().chain(argv).collect()
}

fn words(interpreter: &Interpreter) -> Vec<Vec<u8>> {
    interpreter.command.iter().map(|word| word.as_bytes().to_vec()).collect()
}
