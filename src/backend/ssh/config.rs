//! The configuration for a connection: what holds on the whole way, then that of the user. The `ssh` of a jump host is
//! started by that of the host behind it, which passes on the name of its configuration and none of its options.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::sys;

/// What every host on the way is told first, and so for good. Nobody is there to answer questions.
const WAY: [&str; 6] = [
    "BatchMode yes\n",
    "ConnectionAttempts 1\n",
    "ForwardAgent no\n",
    "ForwardX11 no\n",
    "NumberOfPasswordPrompts 1\n",
    "PermitLocalCommand no\n",
];

/// A configuration of more bytes is none.
const LARGEST: u64 = 1 << 20;

/// The configuration of the machine.
const MACHINE: &str = "/etc/ssh/ssh_config";

/// A configuration, and the file that it will stand in.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Config {
    pub(super) path: PathBuf,
    pub(super) text: String,
    copy: Option<Copied>,
}

/// A file that is copied to be included: of what is included `ssh` asks that nobody else may have written it, which it
/// asks neither of a file that is named to it nor of that of the machine.
#[derive(Clone, PartialEq, Debug)]
struct Copied {
    from: String,
    to: PathBuf,
    text: Vec<u8>,
}

impl Config {
    /// With these lines for a stream, and the configuration that it names in place of the user's own and the machine's;
    /// in a file of `folder`. The error says why that cannot be read.
    pub(super) fn of(folder: &Path, options: &[String], named: Option<String>) -> Result<Self, String> {
        let own = if named.is_some() { String::new() } else { format!("Include {}\n", users()) };
        let found = match named {
            Some(named) => Some((read(&named)?, named)),
            // Where there is none, that is no error.
            None => read(MACHINE).ok().map(|text| (text, MACHINE.to_owned())),
        };
        let mut hasher = DefaultHasher::new();
        (options, &found).hash(&mut hasher);
        let path = folder.join(format!("{:016x}", hasher.finish()));
        let copy = found.map(|(text, from)| Copied { from, to: path.with_extension("copy"), text });
        let include = |copy: &Copied| format!("Include \"{}\"\n", copy.to.display());
        let others = own + &copy.as_ref().map(include).unwrap_or_default();
        Ok(Self { path, text: WAY.concat() + &options.concat() + &others, copy })
    }

    /// Writes the file, unless it is there.
    pub(super) fn write(&self) -> Result<(), String> {
        let copy = self.copy.iter().map(|copy| (&copy.to, &*copy.text));
        for (path, content) in copy.chain([(&self.path, self.text.as_bytes())]) {
            let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let written = match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made.and_then(|mut file| file.write_all(content)),
            };
            written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// What was said, with the name that the user knows.
    pub(super) fn known(&self, said: &str) -> String {
        let replaced = |copy: &Copied| said.replace(&*copy.to.to_string_lossy(), &copy.from);
        self.copy.as_ref().map_or_else(|| said.to_owned(), replaced)
    }
}

/// The user's own configuration. `ssh` looks for it where the system says that the home is, and for what is included where
/// the environment does.
fn users() -> String {
    sys::home().map_or_else(|| "~/.ssh/config".to_owned(), |home| format!("\"{}/.ssh/config\"", home.display()))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    let below = path.strip_prefix("~/").zip(std::env::home_dir());
    let file = below.map_or_else(|| PathBuf::from(path), |(rest, home)| home.join(rest));
    let mut text = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text));
    match read {
        Ok(length) if length as u64 <= LARGEST => Ok(text),
        Ok(_) => Err(format!("the configuration that `config` names, {path}, is larger than 1 MiB")),
        Err(error) => Err(format!("the configuration that `config` names, {path}, cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_holds_on_the_whole_way_stands_before_what_the_user_says() {
        let folder = tempfile::tempdir().unwrap();
        let options = ["StrictHostKeyChecking yes\n".to_owned()];
        let own = Config::of(folder.path(), &options, None).unwrap();
        let machine = own.path.with_extension("copy");
        let machine = Path::new(MACHINE).exists().then(|| format!("Include \"{}\"\n", machine.display()));
        let rest = format!("StrictHostKeyChecking yes\nInclude {}\n{}", users(), machine.unwrap_or_default());
        assert_eq!(own.text, WAY.concat() + &rest);

        let named = Config::of(folder.path(), &options, Some("/etc/hostname".to_owned())).unwrap();
        assert_ne!(named.path, own.path);
        named.write().unwrap();
        named.write().unwrap();
        let copy = named.path.with_extension("copy");
        assert_eq!(named.text, format!("{}{}Include \"{}\"\n", WAY.concat(), options[0], copy.display()));
        for (path, length) in
            [(&named.path, named.text.len() as u64), (&copy, Path::new("/etc/hostname").metadata().unwrap().len())]
        {
            let written = path.metadata().unwrap();
            assert_eq!((written.len(), written.mode() & 0o777), (length, 0o600));
        }
        let said = format!("{}: line 3: Bad configuration option: hots", copy.display());
        assert_eq!(named.known(&said), "/etc/hostname: line 3: Bad configuration option: hots");
    }

    #[test]
    fn a_named_configuration_that_is_none_is_told() {
        let said = |path: &str| Config::of(Path::new("/nowhere"), &[], Some(path.to_owned())).unwrap_err();
        let missing = "the configuration that `config` names, /no/such/file, cannot be read: No such file or directory (os error 2)";
        assert_eq!(said("/no/such/file"), missing);
        assert_eq!(said("/dev/zero"), "the configuration that `config` names, /dev/zero, is larger than 1 MiB");
    }
}
