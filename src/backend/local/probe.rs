//! Whether something listens on a TCP port of this machine, without bothering it with a connection.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::kin::content;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// How long a connection to this machine may take where the kernel's table cannot be read.
const CONNECT: Duration = Duration::from_millis(200);

/// Whether something listens on `port`, on whichever address of this machine.
pub(super) fn listens(port: u16) -> bool {
    let tables = [content("/proc/net/tcp"), content("/proc/net/tcp6")];
    if tables[0].is_empty() {
        let addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))];
        return addresses.iter().any(|address| TcpStream::connect_timeout(address, CONNECT).is_ok());
    }
    tables.iter().any(|table| listed(&String::from_utf8_lossy(table), port))
}

/// Whether a table has a listening socket on that port. A line: `0: 0100007F:1F90 00000000:0000 0A ...`.
fn listed(table: &str, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, state) = (fields.next(), fields.nth(1));
        state == Some(LISTEN) && address.is_some_and(|address| address.ends_with(&wanted))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_listens_from_the_call_of_listen_until_it_is_closed() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            assert!(listens(port), "{address}");
            drop(listener);
            // A process that another test is just starting holds a copy for a moment.
            let gone = (0..10_000).any(|_| !listens(port));
            assert!(gone, "{address}");
        }
    }

    #[test]
    fn connections_do_not_count_and_ports_are_compared_whole() {
        let table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1: 0100007F:0016 0100007F:1F91 01 0\n";
        assert_eq!([8080, 22, 8081, 0x90].map(|port| listed(table, port)), [true, false, false, false]);
    }
}
