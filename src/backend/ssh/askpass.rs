//! Answers `ssh` when it asks for a password. `ssh` starts a program to ask, which is mstream itself; that one asks
//! here, over a socket that only this user can open. The password stands in no argument, environment or file.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio::task::JoinSet;

/// Names the socket to the program that asks.
pub const SOCKET: &str = "MSTREAM_ASKPASS";

/// Answers as long as it lives.
#[derive(Debug)]
pub(super) struct Askpass {
    socket: PathBuf,
    _answering: JoinSet<()>,
}

impl Askpass {
    /// Answers with `password` on `socket`, in a folder that only this user can enter, and only to a question that says
    /// `who`, as in `user@host`: a jump host on the way has a password of its own.
    pub(super) fn open(socket: PathBuf, password: Arc<str>, who: String) -> Result<Self, String> {
        let _ = std::fs::remove_file(&socket);
        let listener =
            UnixListener::bind(&socket).map_err(|error| format!("cannot make a socket to answer on: {error}"))?;
        let own = rustix::process::geteuid().as_raw();
        let mut answering = JoinSet::new();
        answering.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if stream.peer_cred().is_ok_and(|peer| peer.uid() != own) {
                    continue;
                }
                let mut prompt = Vec::new();
                let asked = (&mut stream).take(1024).read_to_end(&mut prompt).await;
                if asked.is_ok() && is_for_the_password(&prompt, &who) {
                    let _ = stream.write_all(password.as_bytes()).await;
                }
            }
        });
        Ok(Self { socket, _answering: answering })
    }

    /// Has `ssh` ask here.
    pub(super) fn prepare(&self, ssh: &mut Command) -> Result<(), String> {
        let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        ssh.env("SSH_ASKPASS", this).env(SOCKET, &self.socket);
        // Older ones ask only where there could be a window.
        ssh.env("DISPLAY", ":");
        Ok(())
    }
}

impl Drop for Askpass {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Nothing else is answered: not the passphrase of a key, not whether a host is to be trusted.
fn is_for_the_password(prompt: &[u8], who: &str) -> bool {
    let (prompt, who) = (String::from_utf8_lossy(prompt).to_lowercase(), who.to_lowercase());
    // `who's password:`, and from the host itself `(who) Password:`.
    let after = prompt.strip_prefix('(').unwrap_or(&prompt).strip_prefix(&who);
    after.is_some_and(|rest| rest.starts_with(['\'', ')'])) && prompt.trim_end().ends_with("password:")
}

/// What the program does that `ssh` starts to ask: hands the question on, and prints the answer.
pub fn ask(socket: &std::ffi::OsStr, prompt: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(prompt.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() { Err(std::io::Error::other("nobody answers that")) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_told_and_nothing_else_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("ask");
        let askpass = Askpass::open(socket.clone(), "s3cret".into(), "tester@host".into()).unwrap();
        let say = |prompt: &'static str| {
            let socket = socket.clone();
            tokio::task::spawn_blocking(move || ask(socket.as_os_str(), prompt))
        };
        assert_eq!(say("tester@host's password: ").await.unwrap().unwrap(), b"s3cret");
        assert_eq!(say("(tester@host) Password: ").await.unwrap().unwrap(), b"s3cret");
        assert_eq!(say("Tester@Host's password: ").await.unwrap().unwrap(), b"s3cret");
        assert!(say("tester@gate's password: ").await.unwrap().is_err());
        assert!(say("tester@hostile's password: ").await.unwrap().is_err());
        assert!(say("Enter passphrase for key '/k': ").await.unwrap().is_err());
        assert!(say("Are you sure you want to continue connecting (yes/no)? ").await.unwrap().is_err());
        drop(askpass);
        assert!(!socket.exists());
    }
}
