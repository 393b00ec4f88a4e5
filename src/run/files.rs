//! Where `put` reads and `get` writes.

use std::path::{Component, Path, PathBuf};

use super::carry::Carrier;
use crate::plan::{StepId, evaluate};

/// The two ends of a `put`: a file beside the scenario, and a path on the stream.
pub(super) fn put(carrier: &Carrier<'_>, step: StepId) -> Result<(PathBuf, String), String> {
    let (from, to) = paths(carrier, step)?;
    Ok((carrier.world.home.folder.join(from), to))
}

/// The two ends of a `get`: a path on the stream, and a file below the run's folder for that stream.
pub(super) fn get(carrier: &Carrier<'_>, step: StepId) -> Result<(String, PathBuf), String> {
    let (from, to) = paths(carrier, step)?;
    let name = &carrier.world.plan.stream_of(step).name;
    let root = carrier.world.home.files.join(folder_name(name));
    let to = below(&root, &to)?;
    no_link(&root, &to, &from)?;
    Ok((from, to))
}

fn paths(carrier: &Carrier<'_>, step: StepId) -> Result<(String, String), String> {
    let extra = carrier.world.plan.steps[step].extra.as_ref();
    let (from, to) = extra.and_then(|extra| extra.paths.as_ref()).ok_or("the step names no files")?;
    let text = |expr| evaluate(expr, &carrier.engine).map(|value| value.to_string()).map_err(|unknown| unknown.0);
    Ok((text(from)?, text(to)?))
}

/// `path` below `root`, a `/` at its end kept; refused where it leads out.
fn below(root: &Path, path: &str) -> Result<PathBuf, String> {
    let inside = Path::new(path).components().all(|part| match part {
        Component::Normal(_) | Component::CurDir => true,
        Component::ParentDir | Component::RootDir | Component::Prefix(_) => false,
    });
    if inside { Ok(root.join(path)) } else { Err(format!("`{path}` leads out of the folder of the run")) }
}

/// Refuses a target that an earlier `get` has made a link of, or a way over one: the stream decides what that link leads to.
fn no_link(root: &Path, to: &Path, from: &str) -> Result<(), String> {
    let name = Path::new(from).file_name().unwrap_or_default();
    // A `/` at the end names the folder to put it into.
    let target = if to.as_os_str().as_encoded_bytes().ends_with(b"/") { to.join(name) } else { to.to_owned() };
    match target.ancestors().take_while(|path| path.starts_with(root)).find(|path| path.is_symlink()) {
        Some(link) => Err(format!("{} is a link that came from the stream: take another name", link.display())),
        None => Ok(()),
    }
}

/// The name of a stream as that of a folder: one level, whatever it holds.
pub(super) fn folder_name(stream: &str) -> String {
    match stream {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        name => name.replace('%', "%25").replace('/', "%2F").replace('\0', "%00"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        let root = Path::new("/run/files/web");
        assert_eq!(below(root, "logs/").unwrap().to_str(), Some("/run/files/web/logs/"));
        assert_eq!(below(root, "./a/b").unwrap(), Path::new("/run/files/web/a/b"));
        assert_eq!(below(root, "a/../../x").unwrap_err(), "`a/../../x` leads out of the folder of the run");
        assert!(below(root, "/etc/passwd").is_err());
    }

    #[test]
    fn a_link_that_came_from_a_stream_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, out) = (folder.path().join("web"), folder.path().join("out"));
        std::fs::create_dir_all(root.join("logs")).unwrap();
        std::os::unix::fs::symlink(&out, root.join("logs/passwd")).unwrap();
        let refused = |to: &str| no_link(&root, &below(&root, to).unwrap(), "/far/passwd").is_err();
        assert!(refused("logs/") && refused("logs/passwd") && refused("logs/passwd/deeper/"));
        assert!(!refused("logs/other") && !refused("") && !refused("new/"));
    }

    #[test]
    fn a_stream_s_name_is_one_folder() {
        let names = ["web", "a/b", "..", ".", "50%"].map(folder_name);
        assert_eq!(names, ["web", "a%2Fb", "%2E%2E", "%2E", "50%25"]);
    }
}
