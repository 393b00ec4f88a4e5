//! G: scenarios, values and files that are hostile or broken.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::audit::audit;
use super::trial::Trial;
use super::{FAULT, Fault, Kind, Place, survive};

#[test]
fn hostile_inputs_are_survived() {
    survive(FAULTS);
}

const ALL: &[Place] = &[Place::Local, Place::Ssh, Place::Docker];

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "F74",
        title: "a scenario that is made to exhaust",
        how: "100,000 brackets, a million rounds of loops in loops, a text of 100 MB, an import of itself",
        does: "refuses each within a second and 100 MB, and says at which place",
        kind: Kind::Input,
        text: "",
        exit: 2,
        bound: Duration::from_secs(8),
        placeless: true,
        story: exhausting,
        ..FAULT
    },
    Fault {
        id: "F75",
        title: "a file that is no scenario",
        how: "empty, binary, UTF-16, with NUL; CRLF and a byte order mark",
        does: "explains what it is; CRLF and the mark are taken",
        kind: Kind::Input,
        text: "",
        exit: 2,
        bound: Duration::from_secs(2),
        story: |it| {
            for (bytes, code, words) in [
                (&b"\xff\xfes\0t\0"[..], 2, &["it is UTF-16; scenarios are UTF-8"][..]),
                (b"\x7fELF\x02\x01\0\0", 2, &["U+007F cannot stand here"]),
                (b"stream a = local\0\n", 2, &["U+0000 cannot stand here"]),
                (b"stream a = local # caf\xe9\n", 2, &["byte 22 is not UTF-8"]),
                (b"", 0, &["0 steps"]),
                (b"\xef\xbb\xbfstream a = local\r\non a {\r\n  $ printf 'a\\r\\n'\r\n}\r\n", 0, &["passed in"]),
            ] {
                (it.exit, it.says) = (code, words);
                std::fs::write(it.path("work/test.ms"), bytes).unwrap();
                it.run(&["exec", "--color", "never", "test.ms"].map(Into::into));
                it.fire();
                it.end();
                audit(it);
                it.again();
            }
        },
        ..FAULT
    },
    Fault {
        id: "F76",
        title: "a host that is an option",
        how: "`-oProxyCommand=touch ...` as a host, as a user, as a jump host; given by a parameter, too",
        does: "refused before anything is started; nothing was run",
        kind: Kind::Input,
        text: "",
        exit: 2,
        bound: Duration::from_secs(3),
        placeless: true,
        story: |it| {
            let pwned = it.path("pwned").display().to_string();
            let attack = format!("-oProxyCommand=touch {pwned}");
            for (stream, code) in [
                (format!("ssh(host = \"{attack}\")"), 2),
                (format!("ssh(host = \"h\", user = \"{attack}\")"), 2),
                (format!("ssh(host = \"h\", jump = \"{attack}\")"), 2),
                ("\"ssh://-oProxyCommand=x@h\"".to_owned(), 2),
                // Its value is known only when the run has begun.
                ("ssh(host = maker.address)".to_owned(), 3),
            ] {
                it.exit = code;
                it.says = if code == 2 { &["error["] } else { &["far"] };
                it.text = format!(
                    "stream maker = local\nstream far = {stream}\non maker {{ let address = shell \"printf %s '{attack}'\" }}\non far {{ $ echo never }}\n"
                );
                it.start();
                it.fire();
                it.end();
                audit(it);
                if it.path("pwned").exists() || it.ended().out.contains("never\n") {
                    it.complain(format!("it was run: {stream}"));
                }
                it.again();
            }
        },
        ..FAULT
    },
    Fault {
        id: "F77",
        title: "a value that wants to be code",
        how: "quotes, `$(...)`, newlines, `-n`, 200 kB, in `sh`, bash and python; NUL",
        does: "arrives as it is; NUL is refused (21,000 random values to each kind of stream in the conformance tests)",
        kind: Kind::Input,
        on: ALL,
        text: "",
        bound: Duration::from_secs(30),
        placeless: true,
        story: values,
        ..FAULT
    },
    Fault {
        id: "F78",
        title: "a hostile tree is fetched",
        how: "a `tar` at the far end that sends `../../x`, `/tmp/x`, a link and a file behind it, a hard link out, a device, a setuid file",
        does: "refuses with the name; nothing outside of the run's folder has changed",
        kind: Kind::Input,
        on: &[Place::Ssh],
        text: "stream far = \"FAR\"\non far {\n  get \"tree\" to \"taken/\"\n}\n",
        exit: 1,
        bound: Duration::from_secs(30),
        story: trees,
        ..FAULT
    },
    Fault {
        id: "F79",
        title: "a secret is printed",
        how: "as it is, in an error, in two halves, line by line",
        does: "shown and kept nowhere",
        kind: Kind::Input,
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  shell(env = { T = secret(\"CANARY\") }) ```\n    printf '%s\\n' \"$T\"\n    \
               printf 'error: %s\\n' \"$T\" >&2\n    printf %.7s \"$T\"; sleep 0.2; printf '%s\\n' \"${T#???????}\"\n    echo \"shown: $T$T\"\n  ```\n  \
               let x = shell(env = { T = secret(\"CANARY\") }) \"printf %s \\\"$T\\\"\"\n  expect x.stdout == \"other\"\n}\n",
        exit: 1,
        says: &["***", "test.ms:9"],
        commit: |it| {
            it.until_printed("far", "shown: ***");
            it.fire();
        },
        after: |it| {
            let text = std::fs::read(it.run_folder().unwrap().join("output/far.out")).unwrap_or_default();
            let masks = String::from_utf8_lossy(&text).matches("***").count();
            if masks < 4 {
                it.complain(format!("{masks} masks stand in what was kept"));
            }
        },
        ..FAULT
    },
    Fault {
        id: "F81",
        title: "output that wants to break a report",
        how: "ESC, NUL, invalid UTF-8, `]]>`, quotes, U+2028, in output and in names",
        does: "JSON stays JSON, line by line",
        kind: Kind::Input,
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  $ printf ']]>\\033\\000\\377\\\"\\\\\\342\\200\\250</script>\\n'; exit 1\n}\n",
        exit: 1,
        bound: Duration::from_secs(10),
        options: &["--format", "jsonl"],
        story: |it| {
            it.start();
            it.until("step_ended", "\"status\":1");
            it.fire();
            it.end();
            let mut bytes = Vec::new();
            for line in it.ended().out.clone().lines() {
                match serde_json::from_str::<serde_json::Value>(line) {
                    Ok(event) if event["event"] == "output" => bytes.push(event),
                    Ok(_) => {}
                    Err(error) => it.complain(format!("no JSON: {error}: {line}")),
                }
            }
            let whole = bytes.iter().any(|event| event["base64"].is_string());
            if !whole || it.ended().out.chars().any(|letter| letter.is_control() && letter != '\n') {
                it.complain("the bytes are not told losslessly, or a control character is in the JSON");
            }
            // The report for people is not written in this form: its totals are not there to be compared.
            it.machine = true;
            audit(it);
        },
        ..FAULT
    },
];

/// Scenarios that would take all memory or time.
fn exhausting(it: &mut Trial) {
    let mut big = String::from("stream a = local\n# ");
    big.push_str(&"x".repeat(100 << 20));
    big.push('\n');
    let mut many = String::from("stream a = local\non a {\n");
    for name in ["i", "j", "k", "l", "m", "n"] {
        writeln!(many, "for {name} in 1..100 {{").unwrap();
    }
    many.push_str("$ true\n}}}}}}\n}\n");
    for (what, text) in [
        ("brackets", format!("stream a = local\non a {{ let x = {}1{} }}\n", "(".repeat(100_000), ")".repeat(100_000))),
        ("lists", format!("param x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000))),
        (
            "blocks",
            format!("stream a = local\non a {{ {}{} }}\n", "retry(times = 2) {\n".repeat(50_000), "}\n".repeat(50_000)),
        ),
        ("loops", many),
        ("text", big),
        ("import", "import \"test.ms\"\nstream a = local\non a { $ true }\n".to_owned()),
    ] {
        std::fs::write(it.path("work/test.ms"), text).unwrap();
        let began = Instant::now();
        it.before = ["sh", "-c", r#"ulimit -v 400000; exec "$@""#, "limited"].map(Into::into).into();
        it.run(&["check", "--color", "never", "--format", "concise", "test.ms"].map(Into::into));
        it.fire();
        it.end();
        let (took, ended) = (began.elapsed(), it.ended());
        let said = format!("{}{}", ended.out, String::from_utf8_lossy(&ended.screen));
        let code = ended.code;
        let placed = said.contains("test.ms");
        let wanted: &[i32] = if what == "import" { &[0, 2] } else { &[2] };
        if !code.is_some_and(|code| wanted.contains(&code)) || !placed || said.contains("panicked") {
            it.complain(format!("{what}: exit code {code:?}, after {took:?}: {said:.300}"));
        }
        if took > Duration::from_secs(5) {
            it.complain(format!("{what}: took {took:?}"));
        }
        it.again();
    }
}

/// Values that break careless quoting.
fn values(it: &mut Trial) {
    let far = it.far.clone();
    let odd = [
        "'; touch pwned; '",
        "$(touch pwned)",
        "`touch pwned`",
        "a\nb\n",
        "-n",
        "--",
        "\\\"\\'\\",
        "%s%n",
        "*",
        "~",
        "${HOME}",
        "\u{1}\u{7f}é漢",
    ];
    let mut text = format!("stream far = \"{far}\"\n");
    let escaped =
        |value: &str| value.chars().fold(String::new(), |text, letter| format!("{text}\\u{{{:x}}}", u32::from(letter)));
    for (at, value) in odd.iter().enumerate() {
        writeln!(text, "param v{at} = \"{}\"", escaped(value)).unwrap();
    }
    text.push_str("on far {\n");
    let holes: Vec<String> = (0..odd.len()).map(|at| format!("${{{{param.v{at}}}}}")).collect();
    writeln!(text, "shell ```\n  printf '%s\\0' {}\n```", holes.join(" ")).unwrap();
    if it.engine.is_none() {
        writeln!(text, "bash ```\n  printf '%s\\0' \"{}\"\n```", holes.join("\" \"")).unwrap();
        writeln!(
            text,
            "python ```\n  import sys\n  for x in [{}]: sys.stdout.buffer.write(x.encode() + b'\\0')\n```",
            holes.join(", ")
        )
        .unwrap();
    }
    text.push_str("let big = shell \"head -c 200000 /dev/zero | tr '\\\\0' x\"\nlet size = shell \"printf %s ${{big}} | wc -c\"\nexpect size contains \"200000\"\n}\n");
    it.text = text;
    it.start();
    it.until("step_started", "\"stream\":\"far\"");
    it.fire();
    it.end();
    let kept = std::fs::read(it.run_folder().unwrap().join("output/far.out")).unwrap_or_default();
    let times = if it.engine.is_none() { 3 } else { 1 };
    let wanted: Vec<u8> =
        odd.iter().flat_map(|value| [value.as_bytes(), b"\0"].concat()).collect::<Vec<u8>>().repeat(times);
    if !kept.starts_with(&wanted) {
        it.complain("a value arrived as another one");
    }
    if it.path("work/pwned").exists() {
        it.complain("a value was run");
    }
    it.says = &["passed in"];
    audit(it);
    it.again();
    it.text = format!("stream far = \"{far}\"\non far {{ $ echo ${{{{\"a\\u{{0}}b\"}}}} }}\n");
    it.exit = 1;
    it.says = &["NUL", "test.ms:2"];
    it.start();
    it.fire();
    it.end();
    if it.ended().code == Some(2) {
        // Refused where it was written, which is even better.
        it.exit = 2;
    }
    audit(it);
}

/// Makes the archive of its first argument's kind, and runs as `tar` in the home of the account.
const TAR: &str = r"#!/usr/bin/env python3
import io, sys, tarfile
kind = open('KIND').read().strip()
out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')
def add(name, type=tarfile.REGTYPE, link='', mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = type, link, mode
    data = b'pwned' if type == tarfile.REGTYPE else b''
    info.size = len(data)
    out.addfile(info, io.BytesIO(data))
add('./tree', tarfile.DIRTYPE, mode=0o755)
if kind == 'dots': add('./tree/../../../../../pwned')
if kind == 'absolute': add('TARGET/pwned')
if kind == 'link':
    add('./tree/out', tarfile.SYMTYPE, 'TARGET')
    add('./tree/out/pwned')
if kind == 'hard': add('./tree/copy', tarfile.LNKTYPE, 'TARGET/precious')
if kind == 'device':
    info = tarfile.TarInfo('./tree/null'); info.type = tarfile.CHRTYPE; info.devmajor, info.devminor = 1, 3
    out.addfile(info)
if kind == 'setuid': add('./tree/root', mode=0o6755)
if kind == 'newline': add('./tree/a\nb')
out.close()
";

fn trees(it: &mut Trial) {
    let target = it.path("target");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("precious"), "precious").unwrap();
    let home = it.sshd.as_ref().unwrap().home("tester");
    std::fs::create_dir(home.join("tree")).unwrap();
    let tar =
        TAR.replace("TARGET", &target.display().to_string()).replace("KIND", &home.join("kind").display().to_string());
    std::fs::write(home.join("tar"), tar).unwrap();
    assert!(Command::new("chmod").arg("755").arg(home.join("tar")).status().unwrap().success());
    // A login whose PATH begins with its home.
    it.sshd.as_ref().unwrap().set_path("tester");
    for (kind, words) in [
        ("dots", Some("leads out of its folder")),
        ("absolute", Some("leads out of its folder")),
        ("link", Some("")),
        ("hard", Some("")),
        ("device", Some("neither a file, a folder nor a link")),
        ("setuid", None),
        ("newline", None),
    ] {
        std::fs::write(home.join("kind"), kind).unwrap();
        it.exit = i32::from(words.is_some());
        it.says = if words.is_some() { &["far: get", "test.ms:3"] } else { &["passed in"] };
        it.start();
        it.until("step_started", "get");
        it.fire();
        it.end();
        let out = it.ended().out.clone();
        if words.is_some_and(|words| !out.contains(words)) {
            it.complain(format!("{kind}: does not say why: {out}"));
        }
        let before = it.complaints.len();
        audit(it);
        // What this test has put there itself.
        it.complaints.retain(|words| !words.starts_with("A5: left behind: the host's HOME"));
        for at in before..it.complaints.len() {
            it.complaints[at] = format!("{kind}: {}", it.complaints[at]);
        }
        let changed = super::trial::entries(&target) != ["precious"]
            || std::fs::read_to_string(target.join("precious")).unwrap() != "precious";
        let links = std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(target.join("precious")).unwrap());
        if changed || links != 1 || it.path("pwned").exists() || std::path::Path::new("/pwned").exists() {
            it.complain(format!("{kind}: something outside of the run's folder has changed"));
        }
        let mut find = Command::new("find");
        let odd = find.arg(it.run_folder().unwrap()).args(["-perm", "/6000", "-o", "-type", "b", "-o", "-type", "c"]);
        let odd = odd.output().unwrap().stdout;
        if !odd.is_empty() {
            it.complain(format!("{kind}: fetched {}", String::from_utf8_lossy(&odd)));
        }
        it.again();
    }
}
