//! Streams written as URIs: `ssh://user@host:2222?key=value`, `docker://?image=alpine`, `local:`.

use std::sync::Arc;

/// A kind with its keys, as they are written.
type Parsed = (Arc<str>, Vec<(Arc<str>, String)>);

/// The kind and the keys that a URI says, or what is wrong with it in words.
pub(super) fn parse(uri: &str) -> Result<Parsed, String> {
    let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
    let kind = super::streams::kind(scheme).ok_or_else(|| format!("there is no kind of stream `{scheme}`"))?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut keys = Vec::new();
    match kind {
        "ssh" => address(authority, &mut keys)?,
        "docker" if authority.contains('=') => pairs(authority, ',', &mut keys)?,
        "docker" if !authority.is_empty() => keys.push(("container".into(), decode(authority)?)),
        _ if !authority.trim_matches('/').is_empty() && kind == "local" => {
            return Err("`local:` takes no address".to_owned());
        }
        _ => {}
    }
    pairs(query, '&', &mut keys)?;
    Ok((kind.into(), keys))
}

/// `user@host:port`, `[::1]:22`.
fn address(authority: &str, keys: &mut Vec<(Arc<str>, String)>) -> Result<(), String> {
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if let Some(user) = user {
        keys.push(("user".into(), decode(user)?));
    }
    let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    if !host.is_empty() {
        keys.push(("host".into(), decode(host.trim_end_matches('/'))?));
    }
    if let Some(port) = port {
        port.parse::<u16>().map_err(|_| format!("`{port}` is not a port"))?;
        keys.push(("port".into(), port.to_owned()));
    }
    Ok(())
}

fn pairs(text: &str, separator: char, keys: &mut Vec<(Arc<str>, String)>) -> Result<(), String> {
    for pair in text.split(separator).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not `key=value`"))?;
        keys.push((decode(key)?.into(), decode(value)?));
    }
    Ok(())
}

/// Undoes percent encoding.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(format!("`%` wants two hexadecimal digits in `{text}`"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8"))
}
