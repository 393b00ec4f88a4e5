//! Whom to log in as, and where: the keys of a stream, checked, and the arguments that `ssh` gets for them.

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::Command;

use super::config::Config;
use crate::backend::Place;
use crate::backend::guard::Patience;
use crate::scenario::keys;

/// What the connection to the host itself is told, beside what all on the way are. The configuration decides the rest.
const ALWAYS: [&str; 8] = [
    "ControlMaster=yes",
    "ControlPersist=no",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
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
    /// Named in the arguments; it must be written before they are used.
    pub(super) config: Config,
    /// What answers when a password is asked for.
    pub(super) password: Option<Arc<str>>,
    /// For messages: `user@host:port`.
    pub(super) shown: String,
}

impl Login {
    /// The login that the keys of `place` describe, with its configuration in `folder`. The error says which key is
    /// wrong, or what cannot be read.
    pub(super) fn of(place: &Place, patience: Patience, folder: &Path) -> Result<Self, String> {
        let mut options: Vec<String> = ALWAYS.map(str::to_owned).into();
        // A dead line is noticed here in half the time after which the other end gives up, and in 15 seconds at most.
        options.push(format!("ServerAliveInterval={}", (patience.lease.as_secs() / 6).clamp(1, 5)));
        // `ssh` knows best why it waits in vain, and says so before anybody else gives up.
        let mut way = vec![format!("ConnectTimeout {}\n", patience.connect.mul_f64(0.9).as_secs().max(1))];
        let (mut host, mut user, mut port): (Arc<str>, _, _) = ("".into(), String::new(), String::new());
        let (mut host_key, mut password, mut named) = ("yes", None, None);
        let mut words = Vec::new();
        for (key, value) in &place.keys {
            keys::check("ssh", key, value)?;
            let text = value.to_string();
            match &**key {
                "host" => host = text.into(),
                "user" => user = text,
                "port" => port = text,
                "key" => {
                    words.extend(["-i".to_owned(), path(place, &text)]);
                    options.push("IdentitiesOnly=yes".to_owned());
                }
                "password" => password = Some(text.into()),
                "config" => named = Some(path(place, &text)),
                "known_hosts" => way.push(format!("UserKnownHostsFile \"{}\"\n", path(place, &text))),
                "host_key" => host_key = if text == "accept-new" { "accept-new" } else { "yes" },
                "jump" => words.extend(["-J".to_owned(), text]),
                other => return Err(format!("an ssh stream has no key `{other}`")),
            }
        }
        if host.is_empty() {
            return Err("an ssh stream needs a `host`".to_owned());
        }
        way.push(format!("StrictHostKeyChecking {host_key}\n"));
        if password.is_some() {
            options.push("BatchMode=no".to_owned());
        }
        let config = Config::of(folder, &way, named)?;
        words.extend(["-F".to_owned(), config.path.to_string_lossy().into_owned()]);
        words.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
        let mut shown = host.to_string();
        if !user.is_empty() {
            shown = format!("{user}@{shown}");
            words.extend(["-l".to_owned(), user]);
        }
        if !port.is_empty() {
            shown = format!("{shown}:{port}");
            words.extend(["-p".to_owned(), port]);
        }
        Ok(Self { host, words, config, password, shown })
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
        let patience = Patience { connect: Duration::from_secs(10), lease: Duration::from_secs(30) };
        Login::of(&place, patience, Path::new("/run/.ssh"))
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
        assert!(words.starts_with("-i /scenario/keys/id -J me@gate:22,other -F /run/.ssh/"), "{words}");
        assert!(words.ends_with("-o IdentitiesOnly=yes -l tester -p 2222"), "{words}");
        let way =
            "ConnectTimeout 9\nUserKnownHostsFile \"/etc/known hosts\"\nStrictHostKeyChecking accept-new\nInclude";
        assert!(it.config.text.contains(way), "{}", it.config.text);
        assert_eq!(it.shown, "tester@foo.example.com:2222");
    }

    #[test]
    fn nothing_is_forwarded_and_nothing_runs_here_whatever_the_configuration_says() {
        let it = login(&[("host", "a")]).unwrap();
        let words = it.words.join(" ");
        for option in ["ClearAllForwardings=yes", "RemoteCommand=none", "RequestTTY=no"] {
            assert_eq!(words.matches(&format!("-o {option}")).count(), 1, "{words}");
        }
        let (ours, _) = it.config.text.split_once("Include").unwrap();
        for line in [
            "ForwardAgent no\n",
            "ForwardX11 no\n",
            "PermitLocalCommand no\n",
            "StrictHostKeyChecking yes\n",
            "BatchMode yes\n",
        ] {
            assert_eq!(ours.matches(line).count(), 1, "{ours}");
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
