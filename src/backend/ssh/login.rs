//! Whom to log in as, and where: the keys of a stream, checked, and the arguments that `ssh` gets for them.

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::Command;

use crate::backend::Place;
use crate::backend::guard::Patience;
use crate::scenario::keys;

/// What every connection is told. The user's own configuration decides the rest.
const ALWAYS: [&str; 12] = [
    "ControlMaster=yes",
    "ControlPersist=no",
    "ServerAliveCountMax=3",
    "ConnectionAttempts=1",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "EscapeChar=none",
    "LogLevel=INFO",
];

/// A login that has been checked.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Login {
    /// As the user wrote it.
    pub(super) host: Arc<str>,
    /// The arguments of `ssh` up to the host, the ones of the control socket and the log left out. Streams for which
    /// they are the same share connections.
    pub(super) words: Vec<String>,
    /// What answers when a password is asked for.
    pub(super) password: Option<Arc<str>>,
    /// For messages: `user@host:port`.
    pub(super) shown: String,
}

impl Login {
    /// The login that the keys of `place` describe. The error says which key is wrong.
    pub(super) fn of(place: &Place, patience: Patience) -> Result<Self, String> {
        let mut it = Self { host: "".into(), words: Vec::new(), password: None, shown: String::new() };
        for option in ALWAYS {
            it.option(option);
        }
        // `ssh` knows best why it waits in vain, and says so before anybody else gives up.
        it.option(&format!("ConnectTimeout={}", patience.connect.mul_f64(0.9).as_secs().max(1)));
        // A dead line is noticed here in half the time after which the other end gives up, and in 15 seconds at most.
        it.option(&format!("ServerAliveInterval={}", (patience.lease.as_secs() / 6).clamp(1, 5)));
        let (mut user, mut port, mut host_key) = (String::new(), String::new(), "yes");
        for (key, value) in &place.keys {
            keys::check("ssh", key, value)?;
            let text = value.to_string();
            match &**key {
                "host" => it.host = text.into(),
                "user" => user = text,
                "port" => port = text,
                "key" => {
                    it.words.extend(["-i".to_owned(), path(place, &text)]);
                    it.option("IdentitiesOnly=yes");
                }
                "password" => it.password = Some(text.into()),
                "config" => it.words.extend(["-F".to_owned(), path(place, &text)]),
                "known_hosts" => it.option(&format!("UserKnownHostsFile=\"{}\"", path(place, &text))),
                "host_key" => host_key = if text == "accept-new" { "accept-new" } else { "yes" },
                "jump" => it.words.extend(["-J".to_owned(), text]),
                other => return Err(format!("an ssh stream has no key `{other}`")),
            }
        }
        if it.host.is_empty() {
            return Err("an ssh stream needs a `host`".to_owned());
        }
        it.option(&format!("StrictHostKeyChecking={host_key}"));
        it.option(if it.password.is_some() { "BatchMode=no" } else { "BatchMode=yes" });
        it.option("NumberOfPasswordPrompts=1");
        it.shown = it.host.to_string();
        if !user.is_empty() {
            it.shown = format!("{user}@{}", it.shown);
            it.words.extend(["-l".to_owned(), user]);
        }
        if !port.is_empty() {
            it.shown = format!("{}:{port}", it.shown);
            it.words.extend(["-p".to_owned(), port]);
        }
        Ok(it)
    }

    fn option(&mut self, option: &str) {
        self.words.extend(["-o".to_owned(), option.to_owned()]);
    }

    /// Whether the host is an address, which no configuration names otherwise.
    pub(super) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

/// What the configuration of `ssh` makes of a login.
pub(super) struct Resolved {
    /// The address of the host, as others can use it.
    pub(super) hostname: Arc<str>,
    pub(super) user: Arc<str>,
}

impl Login {
    /// Asks `ssh` what its configuration makes of this login; where it does not say, it is as written.
    pub(super) async fn resolved(&self) -> Resolved {
        let mut asking = Command::new("ssh");
        asking.arg("-G").args(&self.words).args(["--", &self.host]);
        asking.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let said = asking.output().await.map(|output| output.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let find = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(Arc::from);
        let hostname = find("hostname ").unwrap_or_else(|| Arc::clone(&self.host));
        Resolved { hostname, user: find("user ").unwrap_or_default() }
    }
}

impl Login {
    /// What `ssh` says of the key that the host shows, in a try of its own.
    pub(super) async fn key_of_host(&self) -> String {
        let mut asking = Command::new("ssh");
        // The first word on a matter counts.
        asking.args(["-o", "LogLevel=DEBUG1", "-o", "BatchMode=yes"]).args(&self.words);
        asking.args(["--", &self.host, "exit"]);
        asking.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        asking.env("SSH_ASKPASS_REQUIRE", "force").env("SSH_ASKPASS", "/bin/false");
        let said = asking.output().await.map(|output| output.stderr).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        said.lines().rfind(|line| line.contains("Server host key:")).unwrap_or_default().to_owned()
    }
}

/// A path, relative ones beside the scenario; `~` is left to `ssh`.
fn path(place: &Place, text: &str) -> String {
    if text.starts_with('~') || Path::new(text).is_absolute() {
        return text.to_owned();
    }
    place.folder.join(text).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::syntax::Value;

    fn login(keys: &[(&str, &str)]) -> Result<Login, String> {
        let keys = keys.iter().map(|(key, value)| ((*key).into(), Value::Text((*value).into()))).collect();
        let place =
            Place { name: "web".into(), keys, run: "r1".into(), folder: "/scenario".into(), tmp: "/tmp/r1/web".into() };
        Login::of(&place, Patience { connect: Duration::from_secs(10), lease: Duration::from_secs(30) })
    }

    #[test]
    fn keys_become_arguments() {
        let it = login(&[
            ("host", "foo.example.com"),
            ("user", "tester"),
            ("port", "2222"),
            ("key", "keys/id"),
            ("known_hosts", "/etc/known hosts"),
            ("host_key", "accept-new"),
            ("jump", "me@gate:22,other"),
        ]);
        let it = it.unwrap();
        let words = it.words.join(" ");
        assert!(words.contains("-i /scenario/keys/id -o IdentitiesOnly=yes"), "{words}");
        assert!(words.contains("-o UserKnownHostsFile=\"/etc/known hosts\" -J me@gate:22,other"), "{words}");
        assert!(words.ends_with("-o NumberOfPasswordPrompts=1 -l tester -p 2222"), "{words}");
        assert!(words.contains("-o StrictHostKeyChecking=accept-new -o BatchMode=yes"), "{words}");
        assert_eq!(it.shown, "tester@foo.example.com:2222");
    }

    #[test]
    fn nothing_is_forwarded_and_nothing_runs_here_whatever_the_configuration_says() {
        let words = login(&[("host", "a")]).unwrap().words.join(" ");
        for option in [
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
            "RemoteCommand=none",
            "RequestTTY=no",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
        ] {
            assert_eq!(words.matches(&format!("-o {option}")).count(), 1, "{words}");
        }
    }

    #[test]
    fn what_could_be_an_option_or_code_is_refused() {
        for key in ["host", "user", "port", "jump"] {
            let said = login(&[("host", "a"), (key, "-oProxyCommand=reboot")]).unwrap_err();
            assert!(said.contains(&format!("`{key}`")), "{said}");
        }
        assert!(login(&[("host", "a"), ("jump", "gate,-v")]).is_err());
        assert!(login(&[("host", "a b")]).is_err() && login(&[("user", "$(reboot)"), ("host", "a")]).is_err());
        assert_eq!(login(&[]).unwrap_err(), "an ssh stream needs a `host`");
    }
}
