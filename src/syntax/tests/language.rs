//! The language of the design, read whole.

use super::tree;

/// Scenarios in the shape of the examples.
const SERVICES: &str = r#"# two services come up at their own pace
scenario "ssh and http come up independently"

stream ssh    = "ssh://tester@foo.example.com"
stream http   = docker(image = "fedora:42", remove = "always")
stream worker = local

on ssh {
  $ start_ssh
  barrier ssh_started
}

on http {
  shell(timeout = 5m) ```
    configure_database
      bootstrap_server
  ```
  barrier http_started
}

on worker {
  barrier ssh_started                     # two parties: ssh, worker
  $ ssh ${{ssh.host}} some_business       # runs while http is still starting
  $ curl -fsS http://${{http.host}}/
}
"#;

#[test]
fn the_example_of_the_services() {
    insta::assert_snapshot!(tree(SERVICES), @r#"
    (scenario "ssh and http come up independently")
    (stream ssh "ssh://tester@foo.example.com")
    (stream http (docker: image="fedora:42" remove="always"))
    (stream worker local)
    (on [ssh] (shell $"start_ssh") (barrier ssh_started))
    (on [http] (shell timeout=5m fenced4"configure_database\n  bootstrap_server\n") (barrier http_started))
    (on [worker] (barrier ssh_started) (shell $"ssh "+<ssh.host>+" some_business       # runs while http is still starting") (shell $"curl -fsS http://"+<http.host>+"/"))
    "#);
}
