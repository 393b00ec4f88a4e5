//! What an engine says, in words that say what to try.

use bollard::errors::Error;

/// The words of an error, without the number around them.
pub(super) fn of(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.trim().to_owned();
    }
    let mut words = error.to_string();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = next {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        next = error.source();
    }
    words
}

/// Whether the engine says that there is no such thing.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Whether the engine has answered at all.
pub(super) fn is_answer(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { .. })
}

/// Whether the engine says that it will not do it, and not that it could not.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: ..500, .. })
}

pub(super) fn no_engine(address: &str, words: &str) -> String {
    let advice = if words.contains("ermission denied") {
        "This user may not use it: add the user to the group `docker`, or set DOCKER_HOST to an engine of its own"
    } else {
        "Is the engine running? DOCKER_HOST and `docker context` say which one is used"
    };
    format!("no container engine answers at {address}: {words}. {advice}")
}

pub(super) fn no_engine_at_all(tried: &[String]) -> String {
    let denied = tried.iter().find(|words| words.contains("ermission denied"));
    if let Some((address, words)) = denied.and_then(|words| words.split_once(".sock: ")) {
        return no_engine(&format!("{address}.sock"), words);
    }
    format!("no container engine answers; tried {}. Is one running? DOCKER_HOST names one elsewhere", tried.join("; "))
}

/// Why an image cannot be had.
pub(super) fn no_image(image: &str, words: &str) -> String {
    format!(
        "the image `{image}` cannot be pulled: {words}. Is its name right, and its registry reachable from the engine?"
    )
}

/// Why a container cannot be made or started.
pub(super) fn not_started(name: &str, error: &Error) -> String {
    let words = of(error);
    let words = words.trim_end_matches('.');
    let advice = if words.contains("is already in use") {
        ". Leave `container` out, or name one that nobody has; `create = false` uses the one that is there"
    } else if words.contains("docker-init") || words.contains("catatonit") {
        ". The engine has no init: set `init = false`"
    } else if words.contains("executable file not found") {
        ". The image does not have what `command` names"
    } else if words.contains("network") && words.contains("not found") {
        ". `docker network ls` lists the networks that there are"
    } else if words.contains("operation not permitted") {
        ". The engine itself may not do that here"
    } else {
        ""
    };
    format!("the container {name} cannot be started: {words}{advice}")
}
