//! Streams in containers, with a real engine: what they are made of, what is told where they cannot be or end, and that
//! nothing is left of them.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cases::ends;
use crate::engine::{BUSYBOX, EMPTY, Engine};
use crate::run::Run;
use crate::sshd::Sshd;

const MSTREAM: &str = env!("CARGO_BIN_EXE_mstream");

/// Runs a scenario and expects that it ends with this exit code and says all of these words; `IMAGE` in it is busybox.
fn expect(engine: &Engine, text: &str, code: i32, words: &[&str]) -> String {
    let (said, left) = expect_leaving(engine, text, code, words);
    assert_eq!(left, "", "left in the engine:\n{said}");
    said
}

/// The same; what it leaves in the engine comes with what it says.
fn expect_leaving(engine: &Engine, text: &str, code: i32, words: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/file"), "from this machine").unwrap();
    std::fs::write(folder.path().join("test.ms"), text.replace("IMAGE", BUSYBOX)).unwrap();
    let output = ends(engine.command(MSTREAM), folder.path(), &["exec", "test.ms"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "does not say `{words}`:\n{said}");
    }
    let left = engine.left(folder.path());
    (said, left)
}

/// A container that somebody else has made; removed at the end.
struct Theirs<'a> {
    engine: &'a Engine,
    name: String,
}

impl<'a> Theirs<'a> {
    fn run(engine: &'a Engine, words: &[&str]) -> Self {
        let name = engine.says(&[&["run", "-d", "-i"][..], words, &[BUSYBOX, "sh"]].concat());
        Self { engine, name: name[..12].to_owned() }
    }
}

impl Drop for Theirs<'_> {
    fn drop(&mut self) {
        self.engine.docker(&["rm", "-f", &self.name]);
    }
}

#[test]
fn keys_say_what_a_container_is_made_of() {
    let engine = Engine::get();
    expect(
        &engine,
        "stream box = docker(image = \"IMAGE\", pull = \"never\", user = \"tester\", dir = \"/var\", memory = 64MiB, cpus = 0.5,\n  \
           env = { GREETING = \"it's here\", N = 3 }, volumes = [\"./data:/data:ro\"], cap_add = [\"NET_ADMIN\"],\n  \
           command = [\"sleep\", \"1000\"])\n\
         stream plain = \"docker://image=IMAGE,create=yes,init=no\"\n\
         on box {\n  \
           $ test \"$(id -un)\" = tester && test \"$PWD\" = /var && test \"$GREETING$N\" = \"it's here3\"\n  \
           $ test \"$(hostname)\" = box && test \"$(cat /data/file)\" = 'from this machine' && ! touch /data/x 2>/dev/null\n  \
           $ cat /proc/1/cmdline | tr '\\0' ' ' | grep init; ps | grep 'sleep 1000'\n  \
           $ cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null | grep '^50000'\n  \
           $ test $((0x$(sed -n 's/CapBnd:.//p' /proc/self/status) >> 12 & 1)) = 1\n  \
           $ cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | grep 67108864\n\
         }\n\
         on plain { $ test \"$(id -u)\" = 0 && ! tr '\\0' ' ' </proc/1/cmdline | grep init }\n",
        0,
        &["passed in"],
    );
}

#[test]
fn a_container_is_where_network_says_and_gets_everything_where_that_is_wanted() {
    let engine = Engine::get();
    let network = format!("mstream-test-{}", std::process::id());
    engine.says(&["network", "create", &network]);
    let text = format!(
        "stream a = docker(image = \"IMAGE\", network = \"{network}\")\n\
         stream b = docker(image = \"IMAGE\", network = \"{network}\")\n\
         stream alone = docker(image = \"IMAGE\", network = \"none\")\nstream here = docker(image = \"IMAGE\", network = \"host\")\n\
         on b {{ $ ping -c 1 -W 5 ${{{{a.host}}}} }}\n\
         on alone {{ $ test \"$(cat /proc/net/dev | grep -c :)\" = 1 && cat /proc/net/dev | grep lo: }}\n\
         on here {{ $ cat /proc/net/dev | grep docker0 }}\non a {{ $ hostname }}\n"
    );
    expect(&engine, &text, 0, &["passed in"]);
    engine.says(&["network", "rm", &network]);

    let folder = tempfile::tempdir().unwrap();
    let text = "stream box = docker(image = \"IMAGE\", privileged = true)\n\
                on box { $ sed -n 's/CapEff:.//p' /proc/self/status; test -e /dev/kmsg }\n";
    std::fs::write(folder.path().join("test.ms"), text.replace("IMAGE", BUSYBOX)).unwrap();
    let output = ends(engine.command(MSTREAM), folder.path(), &["exec", "test.ms"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    // An engine that lacks rights itself cannot give all of them.
    let refused = said.contains("The engine itself may not do that here");
    assert_eq!(output.status.code(), Some(if refused { 3 } else { 0 }), "{said}");
    assert_eq!(engine.left(folder.path()), "");
}

#[test]
fn containers_of_a_run_reach_each_other_by_name() {
    let engine = Engine::get();
    expect(
        &engine,
        "stream web = docker(image = \"IMAGE\")\nstream client[1..2] = docker(image = \"IMAGE\")\nstream near = local\n\
         on web {\n  start httpd = shell(ready = port(8080)) \"cd /etc && httpd -f -p 8080\"\n  barrier up\n  barrier done\n}\n\
         on client {\n  barrier up\n  $ ping -c 1 -W 5 web && printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | nc -w 5 web 8080 | grep root\n  barrier done\n}\n\
         on near {\n  barrier up\n  python \"import socket; socket.create_connection((${{web.host}}, 8080), 5).close()\"\n  barrier done\n}\n",
        0,
        &["passed in"],
    );
}

#[test]
fn somebody_else_s_container_is_left_as_it_was_found() {
    let engine = Engine::get();
    let theirs = Theirs::run(&engine, &["-e", "WHOSE=theirs"]);
    let text = format!(
        "stream box = \"docker://{}\"\non box {{\n  $ echo \"it is $WHOSE\"; touch /root/new\n  \
         start service = shell \"sleep 1234\"\n}}\n",
        theirs.name
    );
    expect(&engine, &text, 0, &["it is theirs"]);
    let ps = engine.says(&["exec", &theirs.name, "ps"]);
    // Its first process buries nobody: the dead are no fault of ours.
    assert!(!ps.contains("sleep 1234") && ps.lines().filter(|line| !line.contains('[')).count() <= 3, "{ps}");
    assert_eq!(engine.says(&["exec", &theirs.name, "ls", "/root", "/tmp"]), "/root:\nnew\n\n/tmp:");
    engine.says(&["pause", &theirs.name]);
    expect(&engine, &text, 3, &["is paused: `docker unpause"]);
    engine.says(&["unpause", &theirs.name]);
    engine.says(&["kill", &theirs.name]);
    expect(&engine, &text, 3, &["does not run: `docker start"]);
}

#[test]
fn remove_says_what_stays() {
    let engine = Engine::get();
    for (remove, code, stays) in
        [("always", 1, false), ("on_success", 0, false), ("on_success", 1, true), ("never", 0, true)]
    {
        let name = format!("mstream-test-{}-{remove}-{code}", std::process::id());
        let text = format!(
            "stream box = docker(image = \"IMAGE\", container = \"{name}\", remove = \"{remove}\")\n\
             stream other = docker(image = \"IMAGE\")\non box {{ $ exit {code} }}\non other {{ $ true }}\n"
        );
        let (_, left) = expect_leaving(&engine, &text, code, &[]);
        // The container and the network that it is in.
        assert_eq!(left.lines().count(), if stays { 2 } else { 0 }, "{remove} {code}: {left}");
        if stays {
            let label = "{{index .Config.Labels \"dev.mstream.run\"}} {{index .Config.Labels \"dev.mstream.expires\"}}";
            let labels = engine.says(&["inspect", "-f", label, &name]);
            let (run, expires) = labels.split_once(' ').unwrap();
            assert!(expires.starts_with("20") && expires.ends_with('Z'), "{expires}");
            assert!(
                engine.says(&["ps", "-q", "--filter", &format!("label=dev.mstream.run={run}")]).lines().count() == 1
            );
            engine.says(&["rm", "-f", &name]);
            engine.says(&["network", "rm", &format!("mstream-{run}")]);
        }
    }
}

#[test]
fn every_reason_why_a_container_cannot_be_is_told() {
    let engine = Engine::get();
    let gone = Theirs::run(&engine, &[]).name.clone();
    for (keys, words) in [
        ("image = \"no-such-image\", pull = \"never\"", "there is no image `no-such-image`, and `pull = \"never\"`"),
        ("image = \"127.0.0.1:1/no/such:1\"", "the image `127.0.0.1:1/no/such:1` cannot be pulled: "),
        (
            "image = \"EMPTY\"",
            "has ended at once (exit code 127): its image does not have what it is to run; a stream needs an image with a `sh`",
        ),
        ("image = \"IMAGE\", command = [\"true\"]", "has ended at once (exit code 0)"),
        ("image = \"IMAGE\", command = [\"no-such\"]", "its image does not have what it is to run"),
        ("image = \"IMAGE\", network = \"no-such-net\"", "`docker network ls` lists the networks that there are"),
        ("container = \"GONE\"", "there is no container `GONE`: `docker ps -a` lists them"),
        ("image = \"IMAGE\", user = \"nobody-here\"", "nobody-here"),
    ] {
        let fill = |text: &str| text.replace("EMPTY", EMPTY).replace("GONE", &gone);
        let text = format!("stream box = docker({})\non box {{ $ true }}\n", fill(keys));
        expect(&engine, &text, 3, &["could not be opened", &fill(words), "a fault of the surroundings"]);
    }
}

#[test]
fn an_engine_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("test.ms"),
        format!("stream a = docker(image = \"{BUSYBOX}\")\non a {{ $ true }}\n"),
    )
    .unwrap();
    let context = folder.path().join("docker/contexts/meta/0123");
    std::fs::create_dir_all(&context).unwrap();
    std::fs::write(folder.path().join("docker/config.json"), r#"{"currentContext": "lab"}"#).unwrap();
    let meta = r#"{"Name": "lab", "Endpoints": {"docker": {"Host": "unix:///nowhere/lab.sock"}}}"#;
    std::fs::write(context.join("meta.json"), meta).unwrap();
    let other = folder.path().join("docker/contexts");
    std::fs::create_dir_all(other.join("meta/4567")).unwrap();
    std::fs::create_dir_all(other.join("tls/4567/docker")).unwrap();
    let meta = r#"{"Name": "cloud", "Endpoints": {"docker": {"Host": "tcp://127.0.0.1:2376"}}}"#;
    std::fs::write(other.join("meta/4567/meta.json"), meta).unwrap();
    for (name, value, words) in [
        ("DOCKER_HOST", "unix:///nowhere/docker.sock", "no container engine answers at unix:///nowhere/docker.sock: "),
        ("DOCKER_HOST", "tcp://127.0.0.1:1", "no container engine answers at tcp://127.0.0.1:1: "),
        (
            "DOCKER_HOST",
            "npipe:////./pipe/engine",
            "mstream reaches engines over unix://, ssh:// and plain tcp:// only",
        ),
        ("DOCKER_HOST", "ssh://me@127.0.0.1:1", "cannot connect to me@127.0.0.1:1: "),
        ("DOCKER_HOST", "ssh://-oProxyCommand=reboot", "`host`"),
        ("DOCKER_CONFIG", "docker", "no container engine answers at unix:///nowhere/lab.sock: "),
        ("DOCKER_CONTEXT", "cloud", "the docker context `cloud` speaks TLS, which mstream does not"),
        ("DOCKER_CONTEXT", "attic", "there is no docker context `attic`: `docker context ls` lists them"),
    ] {
        let mut command = Command::new(MSTREAM);
        command.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", "docker").env(name, value);
        let began = Instant::now();
        let output = ends(command, folder.path(), &["exec", "test.ms"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[test]
fn an_engine_on_another_host_is_reached_over_ssh_as_the_user_s_own_configuration_says() {
    let engine = Engine::get();
    let sshd = Sshd::inside(
        engine.network(),
        &format!("PermitRootLogin yes\nMaxSessions 10\nSetEnv DOCKER_HOST={}", engine.address()),
    );
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let (key, known) = (sshd.user_key(), sshd.known_hosts());
    let host = format!("  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n", sshd.port(), key.display());
    let known = format!("  UserKnownHostsFile {}\n", known.display());
    file(
        ".ssh/config",
        &format!("Host lab\n  User root\n{host}{known}Host other\n  User tester\n{host}{known}Host new\n{host}"),
    );
    let meta = |name: &str| format!(r#"{{"Name": "{name}", "Endpoints": {{"docker": {{"Host": "ssh://{name}"}}}}}}"#);
    for name in ["lab", "other", "new"] {
        file(&format!("docker/contexts/meta/{name}/meta.json"), &meta(name));
    }
    // `ssh` asks the system where the home is, and not the environment.
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let at_home = |line: &str| line.replace(":/root:", &format!(":{}:", home.path().display())) + "\n";
    file("passwd", &passwd.lines().map(at_home).collect::<String>());
    let command = |context: &str| {
        let inner = engine.command(MSTREAM);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", "mount --bind \"$0\" /etc/passwd; exec \"$@\""]);
        command.arg(home.path().join("passwd")).arg(inner.get_program()).args(inner.get_args());
        command.env("HOME", "/nowhere").env("DOCKER_CONFIG", home.path().join("docker"));
        command.env("DOCKER_CONTEXT", context).env_remove("DOCKER_HOST");
        command
    };

    let text = format!(
        "stream box[1..12] = docker(image = \"{BUSYBOX}\")\n\
         on box {{\n  $ echo over ssh > /tmp/it\n  barrier all\n  $ echo \"$(cat /tmp/it) in $(hostname)\"\n}}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.ms"), &text).unwrap();
    let output = ends(command("lab"), folder.path(), &["exec", "test.ms"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!((1..=12).all(|number| said.contains(&format!("over ssh in box-{number}"))), "{said}");
    assert_eq!(engine.left(folder.path()), "");
    let connections = sshd.log().matches("Accepted publickey for root").count();
    assert!(connections <= 6, "{connections} connections for 12 containers");

    for (context, words) in
        [("other", "connect: permission denied. This user may not use it"), ("new", "is not known. Compare it")]
    {
        let output = ends(command(context), folder.path(), &["exec", "test.ms"]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains(words) && said.contains(&format!("no container engine answers at ssh://{context}")),
            "{said}"
        );
    }

    // Whoever cleans up after mstream goes the same way.
    let mut run = Run::by(command("lab"), &text.replace("echo over", "echo started; sleep 60; echo over"), &[]);
    run.until("output", "started");
    run.signal_coordinator("KILL");
    let ended = run.end();
    assert_eq!(engine.left(ended.folder.path()), "");
}

#[test]
fn an_engine_that_this_user_may_not_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let text = format!("stream a = docker(image = \"{BUSYBOX}\")\non a {{ $ true }}\n");
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let socket = folder.path().join("engine.sock");
    let _engine = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", MSTREAM]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display())).env("TMPDIR", folder.path());
    let output = ends(command, folder.path(), &["exec", "test.ms"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("This user may not use it: add the user to the group `docker`"), "{said}");
}

#[test]
fn a_container_that_is_killed_is_blamed_and_only_for_those_who_needed_it() {
    let engine = Engine::get();
    for (words, blame) in
        [(&["kill"][..], "has ended (exit code 137): it was stopped or killed"), (&["rm", "-f"], "was removed")]
    {
        let text = format!(
            "stream far = docker(image = \"{BUSYBOX}\")\nstream near = local\nstream other = local\n\
             on far {{\n  $ echo started; sleep 60\n  barrier met\n}}\non near {{\n  barrier met\n}}\non other {{ $ sleep 1 }}\n"
        );
        let mut run = Run::by(engine.command(MSTREAM), &text, &[]);
        let id = run.until("run_started", "")["run"].as_str().unwrap().to_owned();
        run.until("output", "started");
        engine.says(&[words, &[&format!("mstream-{id}-far")]].concat());
        let ended = run.end();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.has("step_ended", blame), "{:?}", ended.events);
        assert!(ended.has("step_ended", "broken") && ended.has("step_ended", "test.ms:5"), "{:?}", ended.events);
        assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
        assert_eq!(engine.left(ended.folder.path()), "");
    }
}

#[test]
fn an_engine_that_dies_takes_the_stream_along_and_is_tidied_up_when_it_is_back() {
    let engine = Engine::of_its_own();
    let text = format!(
        "stream far = docker(image = \"{BUSYBOX}\")\nstream near = local\n\
         on far {{\n  $ echo started; sleep 60\n  barrier met\n}}\non near {{\n  barrier met\n}}\n"
    );
    let mut run = Run::by(engine.command(MSTREAM), &text, &[]);
    run.until("output", "started");
    engine.kill();
    let killed = Instant::now();
    // That it does not answer, or, where it is back at once, that the container has ended.
    run.until("step_ended", "\"lost\"");
    run.until("step_ended", "broken");
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    let ended = run.end();
    assert_eq!(ended.status.code(), Some(3));
    let left = engine.left(ended.folder.path());
    let told = ended.has("stream_closed", "could not be removed");
    assert!(left.is_empty() != told, "what stays is told, and nothing else: {left}; {:?}", ended.events);
}

#[test]
fn a_step_that_takes_too_much_memory_fails_whatever_its_status() {
    let engine = Engine::get();
    let text = "stream box = docker(image = \"IMAGE\", memory = 16MiB)\n\
                on box {\n  let big = shell(may_fail = true) \"head -c 200000000 /dev/zero | sort\"\n  \
                expect big.exit == 137\n  $ true\n  $ head -c 200000000 /dev/zero | sort | cat\n}\n";
    let words = "out of memory: a process was killed for it, exit status 0";
    expect(&engine, text, 1, &[words]);
}

#[test]
fn a_container_of_the_same_name_is_not_ours_to_remove() {
    let engine = Engine::get();
    let name = format!("mstream-test-{}-taken", std::process::id());
    let theirs = Theirs::run(&engine, &["--name", &name]);
    for create in ["", ", create = true"] {
        let text =
            format!("stream box = docker(image = \"IMAGE\", container = \"{name}\"{create})\non box {{ $ true }}\n");
        expect(&engine, &text, 3, &["is already in use", "`create = false` uses the one that is there"]);
        assert_eq!(engine.says(&["inspect", "-f", "{{.State.Running}}", &theirs.name]), "true");
    }
    let text = format!(
        "stream box = docker(image = \"IMAGE\", container = \"{name}\", create = false)\non box {{ $ true }}\n"
    );
    expect(&engine, &text, 0, &[]);
    assert_eq!(engine.says(&["inspect", "-f", "{{.State.Running}}", &theirs.name]), "true");
}

#[test]
fn an_interrupt_leaves_nothing_whenever_it_comes() {
    let engine = Engine::get();
    let text = format!("stream box[1..3] = docker(image = \"{BUSYBOX}\")\non box {{ $ sleep 60 }}\n");
    for moment in [0, 40, 150, 400, 900] {
        for urgent in [false, true] {
            let run = Run::by(engine.command(MSTREAM), &text, &[]);
            std::thread::sleep(Duration::from_millis(moment));
            run.signal("INT");
            if urgent {
                std::thread::sleep(Duration::from_millis(5));
                run.signal("INT");
            }
            let ended = run.end();
            assert_eq!(engine.left(ended.folder.path()), "", "after {moment} ms");
        }
    }
}

#[test]
fn what_runs_in_a_container_ends_when_mstream_is_killed() {
    let engine = Engine::get();
    let theirs = Theirs::run(&engine, &[]);
    let text =
        format!("stream box = \"docker://{}\"\non box {{ $ echo started; trap '' TERM; sleep 77 }}\n", theirs.name);
    for signal in ["KILL", "STOP"] {
        let mut run = Run::by(engine.command(MSTREAM), &text, &["--lease", "3s"]);
        run.until("output", "started");
        run.signal_coordinator(signal);
        let began = Instant::now();
        while engine.says(&["exec", &theirs.name, "ps"]).contains("sleep 77") {
            assert!(began.elapsed() < Duration::from_secs(15), "it lives on after {signal}");
            std::thread::sleep(Duration::from_millis(100));
        }
        run.signal_coordinator("KILL");
        run.end();
    }
}
