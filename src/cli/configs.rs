//! Where configurations are: that of the user, and that of the machine.

use std::path::PathBuf;

/// That of the machine.
const OF_SYSTEM: &str = "/etc/mstream/config.yaml";

/// That of the user, where there is one: `$XDG_CONFIG_HOME/mstream/config.yaml`, by default below `~/.config`.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub(super) fn of_user() -> Option<PathBuf> {
    // The specification of these folders has relative ones passed over.
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let below = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    existing(below.join("mstream/config.yaml"))
}

/// That of the machine, where there is one.
pub(super) fn of_system() -> Option<PathBuf> {
    existing(PathBuf::from(OF_SYSTEM))
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}
