//! Secrets stand nowhere but in the steps that ask for them: not in what is shown, not in the folder of the run, not in
//! the arguments of any process.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sshd::Sshd;
use crate::watchdog::Watchdog;

/// What no reader may see. Every form treats something of it in its own way.
const CANARY: &str = "CaNaRy-7 it's \"so\" & more/\\ $x ü";

/// A second one, of several lines.
const KEY: &str = "-----BEGIN-----\nCaNaRy-8/abc+def==\nCaNaRy-9\n-----END-----\n";

/// A third, for what cannot but stand in arguments.
const BIRD: &str = "SoNgBiRd it's \"so\"";

/// Runs `text` in `folder` with all secrets in its environment.
fn exec(folder: &Path, text: &str, options: &[&str]) -> Output {
    std::fs::write(folder.join("test.ms"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mstream"));
    command.args(["exec", "test.ms"]).args(options).current_dir(folder);
    command.env("CANARY", CANARY).env("KEY", KEY).env("BIRD", BIRD).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _watchdog = Watchdog::over(&child);
    child.wait_with_output().unwrap()
}

/// What gives a canary away: its plain beginning, and that in base64 as it looks behind 0, 1 and 2 other bytes.
fn traces() -> Vec<String> {
    let code = "
import base64
for core in (b'CaNaRy-7', b'CaNaRy-8', b'CaNaRy-9', b'SoNgBiRd'):
    print(core.decode())
    for n in range(3):
        text = b'x' * n + core
        print(base64.b64encode(text).decode()[-(-8 * n // 6):len(text) * 8 // 6])
";
    // On stdin: others look for these words in arguments.
    let mut python = Command::new("/usr/bin/python3").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let all: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(all.len(), 16);
    all
}

/// Where one of the traces stands in this text, with what stands around it.
fn found(what: &str, text: &[u8], traces: &[String]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let line = |trace: &String| text.lines().find(|line| line.contains(trace.as_str())).map(str::to_owned);
    traces.iter().filter_map(line).map(|line| format!("{what}: {line}")).collect()
}

fn found_below(folder: &Path, traces: &[String], all: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.extend(found("name", path.to_string_lossy().as_bytes(), traces));
        if path.is_dir() {
            found_below(&path, traces, all);
        } else {
            all.extend(found(&path.display().to_string(), &std::fs::read(&path).unwrap(), traces));
        }
    }
}

/// Looks at the arguments of all processes, a hundred times a second, while `work` goes on.
fn arguments_during<T>(trace: &str, work: impl FnOnce() -> T) -> (T, Vec<String>, usize) {
    let over = AtomicBool::new(false);
    let look = || {
        let (mut seen, mut looks) = (Vec::new(), 0);
        while !over.load(Ordering::Relaxed) {
            let pids =
                std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            for pid in pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
                let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
                if arguments.contains(trace) {
                    seen.push(arguments);
                }
            }
            looks += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        (seen, looks)
    };
    std::thread::scope(|scope| {
        let looking = scope.spawn(look);
        let result = work();
        over.store(true, Ordering::Relaxed);
        let (seen, looks) = looking.join().unwrap();
        (result, seen, looks)
    })
}

/// Prints the secrets in every form that a step is likely to give them.
const PRINTS: &str = r#"on all {
  shell(env = { TOKEN = secret("CANARY"), KEY = secret("KEY") }) ```
    printf 'plain: %s\n' "$TOKEN"
    for before in '' x xy; do printf '%s%s' "$before" "$TOKEN" | base64 -w 0; echo; done
    printf '%s\n' "$TOKEN" "$KEY" | base64
    printf '%.9s' "$TOKEN"; sleep 0.1; printf '%s\n' "${TOKEN#?????????}"
    printf '%s' "$KEY"; printf '%s' "$KEY" | sed 's/^/log: /' >&2
    printf '%s' "$KEY" | base64
    set -x
    : "$TOKEN"
  ```
  $ echo ${{secret("CANARY")}}; sleep 0.5
  python ```
    import json, shlex, sys, urllib.parse
    it = ${{secret("CANARY")}}
    print(json.dumps(it), json.dumps({"a": it}, ensure_ascii=False), urllib.parse.quote(it), urllib.parse.quote_plus(it))
    print(shlex.quote(it), repr(it), it.encode().hex(" ", 1)[:0], file=sys.stderr)
  ```
  exec(stdin = secret("CANARY")) ["cat"]
  $ echo "inherited: ${CANARY-nothing}"
  let echoed = shell "printf %s ${{secret("CANARY")}}"
  expect echoed == "other"
}
"#;

#[test]
fn no_form_of_a_secret_is_shown_or_kept_and_no_argument_list_has_it() {
    let sshd = Sshd::start("");
    let traces = traces();
    for format in [&[][..], &["--format", "jsonl"]] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("stream here = local\nstream far = \"{}\"\n{PRINTS}", sshd.uri("tester"));
        let (output, arguments, looks) = arguments_during("CaNaRy", || exec(folder.path(), &text, format));
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.matches("plain: ***").count() == 2, "both streams have printed: {said}");
        assert!(said.matches("inherited: nothing").count() == 2, "who does not ask does not get it: {said}");
        assert!(said.matches("***").count() >= 30, "{said}");
        let mut all = found("shown", said.as_bytes(), &traces);
        found_below(&folder.path().join(".mstream"), &traces, &mut all);
        assert_eq!(all, Vec::<String>::new());
        assert_eq!(arguments, Vec::<String>::new());
        assert!(looks >= 20, "the processes were looked at {looks} times");
    }
}

#[test]
fn what_is_said_of_steps_holds_no_secret_either() {
    let text = r#"stream a = local
stream b = local
stream c = ssh(host = "127.0.0.1", port = 1, user = "nobody", key = secret("BIRD"))
on a {
  $ sleep 1000 ${{secret("BIRD")}} 2>/dev/null & sh -c 'exec sleep 1001; : "$1"' sh ${{secret("BIRD")}} &
  exec(dir = "/nowhere/${{secret("BIRD")}}") ["true"]
}
on b {
  put "${{secret("BIRD")}}" to "x"
}
on c { $ true }
"#;
    let folder = tempfile::tempdir().unwrap();
    let output = exec(folder.path(), text, &[]);
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(said.contains("/nowhere/***"), "{said}");
    let mut all = found("shown", said.as_bytes(), &traces());
    found_below(&folder.path().join(".mstream"), &traces(), &mut all);
    assert_eq!(all, Vec::<String>::new(), "{said}");
}

#[test]
fn a_secret_too_short_to_be_masked_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = "stream a = local\non a { shell(env = { T = secret(\"SHORT\") }) \"echo 12345 $T\" }\n";
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    std::fs::write(folder.path().join("secrets"), "SHORT=12345\n").unwrap();
    let output = crate::cases::mstream(folder.path(), &["exec", "--secret-file", "secrets", "test.ms"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning: test.ms: the secret `SHORT` is shown where it is printed"), "{said}");
    assert!(said.contains("│ 12345 12345"), "ordinary output stays what it is: {said}");
}

#[test]
fn nobody_reads_a_secret_out_of_mstream_itself() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_mstream"), folder.path().join("mstream")).unwrap();
    let look = "tr '\\0' '\\n' </proc/$PPID/environ | grep -c ^CANARY";
    let nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).args(words);
        let output =
            command.current_dir(folder.path()).env("CANARY", CANARY).env("TMPDIR", folder.path()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    // It is seen where nobody takes care.
    let careless = nobody(&["sh", "-c", &format!("sh -c {}; true", shell_word(look))]);
    assert_eq!(careless, "1\n");
    for step in ["$ true", "shell(env = { T = secret(\"CANARY\") }) \"true\""] {
        std::fs::write(folder.path().join("test.ms"), format!("stream a = local\non a {{\n  {step}\n  $ {look}\n}}\n"))
            .unwrap();
        let said = nobody(&["./mstream", "exec", "test.ms"]);
        assert!(said.contains("a │ 0") && said.contains("Permission denied"), "{said}");
    }
}

/// A word for a shell that is read as it stands.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
