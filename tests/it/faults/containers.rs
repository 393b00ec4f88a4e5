//! D: what happens to containers and to their engine.

use std::time::Duration;

use super::trial::Trial;
use super::{FAULT, Fault, Kind, Place, survive};
use crate::engine::BUSYBOX;

#[test]
fn faults_of_containers_are_survived() {
    survive(FAULTS);
}

const DOCKER: &[Place] = &[Place::Docker];

const AT_WORK: &str = "stream far = \"FAR\"\nstream near = local\n\
    on far {\n  shell(env = { T = secret(\"CANARY\") }) \"echo at work; SLEEP\"\n  barrier met\n}\non near { barrier met }\n";

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "F45",
        title: "the shell through which steps come in is killed",
        how: "kill -9 of the guard's shells in the container",
        does: "the stream is lost; what it had started is ended with the container",
        kind: Kind::Engine,
        on: DOCKER,
        text: AT_WORK,
        options: &["--lease", "3s"],
        exit: 3,
        says: &["far: ", "test.ms:4", "because of it", "near: broken at barrier met"],
        bound: Duration::from_secs(15),
        commit: |it| {
            it.until_printed("far", "at work");
            let shells = it.inside("ps -o pid,args | grep -v grep | grep -E ' (sh|/bin/sh)$'");
            assert!(!shells.is_empty(), "no guard is there");
            for pid in shells.lines().filter_map(|line| line.split_whitespace().next()) {
                it.inside(&format!("kill -9 {pid}"));
            }
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F46",
        title: "a container runs out of memory",
        how: "16 MiB, and a step that wants more",
        does: "the step fails and says so, whatever its status; where the first process is hit, the container is blamed by name",
        kind: Kind::Engine,
        on: DOCKER,
        text: "stream far = docker(image = \"IMAGE\", pull = \"never\", memory = 16MiB)\non far {\n  $ echo at work; head -c 200000000 /dev/zero | sort >/dev/null; true\n}\n",
        exit: 1,
        says: &["far: ", "test.ms:3", "out of memory"],
        bound: Duration::from_secs(20),
        prepare: |it| it.text = it.text.replace("IMAGE", BUSYBOX),
        commit: |it| {
            it.until("step_ended", "test.ms:3");
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F47",
        title: "a container is killed in the middle of a step",
        how: "`docker kill`, `docker stop`",
        does: "the stream is lost, with the reason; not `exit 137` of the step",
        kind: Kind::Engine,
        on: DOCKER,
        text: AT_WORK,
        exit: 3,
        says: &["far: ", "test.ms:4", "it was stopped or killed", "because of it", "near: broken at barrier met"],
        bound: Duration::from_secs(15),
        story: |it| {
            for words in [&["kill"][..], &["stop", "-t", "2"]] {
                it.start();
                it.until_printed("far", "at work");
                let run = it.run_folder().unwrap().file_name().unwrap().to_string_lossy().into_owned();
                let name = format!("mstream-{run}-far");
                it.engine.as_ref().unwrap().says(&[words, &[&name]].concat());
                it.fire();
                it.end();
                super::audit::audit(it);
                if words.len() == 1 {
                    it.again();
                }
            }
        },
        ..FAULT
    },
    Fault {
        id: "F49",
        title: "no engine, no right to use it, no image",
        how: "a socket that is not there; one that is not ours, as `nobody`; an image that nobody has",
        does: "says which of these, and what to try, within 2s; pulls nothing that it was not asked to",
        kind: Kind::Engine,
        on: DOCKER,
        text: "stream far = docker(image = \"mstream-test/no-such:1\", pull = \"never\")\non far { $ echo never }\n",
        exit: 3,
        says: &["far · test.ms:1", "surroundings"],
        bound: Duration::from_secs(4),
        story: |it| {
            let denied = it.path("home/denied.sock");
            let listener = std::os::unix::net::UnixListener::bind(&denied).unwrap();
            for (host, user, words) in [
                (None, None, &["there is no image `mstream-test/no-such:1`"][..]),
                (
                    Some("unix:///nowhere/docker.sock".to_owned()),
                    None,
                    &["no container engine answers at unix:///nowhere/docker.sock", "Is the engine running?"],
                ),
                (
                    Some(format!("unix://{}", denied.display())),
                    Some("nobody"),
                    &["ermission denied", "add the user to the group `docker`"],
                ),
            ] {
                it.says = words;
                it.env.retain(|(name, _)| name != "DOCKER_HOST");
                if let Some(host) = host {
                    it.env.push(("DOCKER_HOST".to_owned(), host.into()));
                }
                if user.is_some() {
                    for name in ["work", "tmp", "home", "runtime", ""] {
                        let path = it.path(name).display().to_string();
                        assert!(std::process::Command::new("chmod").args(["777", &path]).status().unwrap().success());
                    }
                    let private = std::process::Command::new("chmod").arg("600").arg(&denied).status();
                    assert!(private.unwrap().success());
                    let _ = std::fs::remove_dir_all(it.path("work/.mstream"));
                    it.before =
                        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"].map(Into::into).into();
                }
                it.start();
                it.fire();
                it.end();
                if user.is_some() {
                    let _ = std::fs::remove_file(&denied);
                }
                super::audit::audit(it);
                it.complaints.retain(|words| !words.contains("home/denied.sock"));
                if user.is_none() {
                    it.again();
                }
            }
            drop(listener);
        },
        ..FAULT
    },
];

impl Trial {
    /// Runs a script in the container of `far`; what it prints.
    pub(super) fn inside(&self, script: &str) -> String {
        let run = self.run_folder().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let output = self.engine.as_ref().unwrap().docker(&["exec", &format!("mstream-{run}-far"), "sh", "-c", script]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
