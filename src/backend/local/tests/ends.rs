//! How steps end, and that nothing of them is left.

use super::*;

#[tokio::test]
async fn the_end_is_that_of_the_process_and_who_stays_has_leaked() {
    let stream = Stream::open().await;
    let started = Instant::now();
    let heard = stream.run(sh("sleep 1001 & echo $!")).await;
    assert_eq!((heard.exit(), heard.leaked.as_slice()), (Exit::Status(0), &["sleep 1001".to_owned()][..]));
    assert!(dies(heard.text()).await);
    let heard = stream.run(sh("sleep 1002 >/dev/null 2>&1 & echo $!")).await;
    assert_eq!((heard.exit(), heard.leaked.as_slice()), (Exit::Status(0), &["sleep 1002".to_owned()][..]));
    assert!(dies(heard.text()).await);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn who_follows_soon_has_not_leaked() {
    let stream = Stream::open().await;
    let heard = stream.run(sh("(sleep 0.03; echo late) & echo early")).await;
    assert_eq!((heard.text(), heard.leaked.len()), ("early\nlate\n", 0));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn who_holds_a_pipe_is_found_even_with_another_session_and_no_cookie() {
    let stream = Stream::open().await;
    let heard = stream.run(sh("env -i setsid sh -c 'echo $$; exec sleep 1003' & sleep 0.05")).await;
    assert_eq!((heard.exit(), heard.leaked.as_slice()), (Exit::Status(0), &["sleep 1003".to_owned()][..]));
    assert!(dies(heard.text()).await);
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_daemon_is_found_when_the_stream_closes() {
    let stream = Stream::open().await;
    let heard = stream.run(sh("setsid sleep 1004 >/dev/null 2>&1 & echo $!; sleep 0.05")).await;
    assert_eq!((heard.leaked.len(), alive(heard.text())), (0, true));
    assert_eq!(stream.close().await, ["sleep 1004"]);
    assert!(!alive(heard.text()));
}

#[tokio::test]
async fn a_daemon_without_any_mark_is_found_when_the_last_stream_closes() {
    // Other tests have streams open in this process.
    let name = "backend::local::tests::ends::a_daemon_without_any_mark_is_found_when_the_last_stream_closes";
    if !sys::alone(name) {
        return;
    }
    let stream = Stream::open().await;
    let heard = stream.run(sh("env -i setsid sleep 1005 >/dev/null 2>&1 & echo $!; sleep 0.05")).await;
    assert_eq!((heard.leaked.len(), alive(heard.text())), (0, true));
    assert_eq!(stream.close().await, ["sleep 1005"]);
    assert!(!alive(heard.text()));
}

#[tokio::test]
async fn an_order_to_end_reaches_everybody_once() {
    let stream = Stream::open().await;
    let code = "trap 'echo child; exit' TERM; while :; do sleep 0.01; done";
    let mut running =
        stream.start(sh(&format!("sh -c \"{code}\" & trap 'wait; echo parent; exit 4' TERM; echo up; wait")));
    assert_eq!(running.line().await, "up");
    tokio::time::sleep(Duration::from_millis(30)).await;
    running.stop(Stop::Gently(libc::SIGTERM));
    let heard = running.end().await;
    assert_eq!((heard.text(), heard.exit(), heard.leaked.len()), ("child\nparent\n", Exit::Status(4), 0));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn after_a_gentle_order_children_may_take_their_time() {
    let stream = Stream::open().await;
    let code = "trap 'sleep 0.25; echo saved; exit' TERM; echo up; while :; do sleep 0.01; done";
    let mut running = stream.start(sh(&format!("sh -c \"{code}\" & wait")));
    assert_eq!(running.line().await, "up");
    running.stop(Stop::Gently(libc::SIGTERM));
    let heard = running.end().await;
    assert_eq!((heard.text(), heard.exit(), heard.leaked.len()), ("saved\n", Exit::Signal(libc::SIGTERM), 0));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_stopped_process_hears_the_order_too() {
    let stream = Stream::open().await;
    let mut running = stream.start(sh("trap 'echo heard; exit 0' TERM; echo $$; kill -STOP $$"));
    let pid = running.line().await;
    while !String::from_utf8_lossy(&kin::content(&format!("/proc/{pid}/stat"))).contains(") T ") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.stop(Stop::Gently(libc::SIGTERM));
    assert_eq!(running.end().await.text(), "heard\n");
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_tree_that_ignores_the_gentle_order_is_killed_daemons_and_all() {
    let stream = Stream::open().await;
    let code = "trap '' TERM; setsid sleep 1006 & setsid env -i sleep 1007 & sleep 1008 & echo $! $$; sleep 1009";
    let mut running = stream.start(sh(&format!("trap '' TERM; (setsid sh -c '{code}' &) ; sleep 1010")));
    let line = running.line().await;
    let pids: Vec<&str> = line.split(' ').collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    running.stop(Stop::Gently(libc::SIGTERM));
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(pids.iter().all(|pid| alive(pid)));
    let ordered = Instant::now();
    running.stop(Stop::Now);
    let heard = running.end().await;
    assert_eq!((heard.exit(), heard.leaked.len()), (Exit::Signal(libc::SIGKILL), 0));
    assert!(ordered.elapsed() < Duration::from_millis(500), "{:?}", ordered.elapsed());
    assert!(!pids.iter().any(|pid| alive(pid)));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_dropped_future_takes_its_processes_with_it() {
    let stream = Stream::open().await;
    let mut running = stream.start(sh("setsid sleep 1011 & echo $! $$; wait"));
    let line = running.line().await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    running.task.abort();
    for pid in line.split(' ') {
        assert!(dies(pid).await, "{pid}");
    }
    assert_eq!(stream.close().await, [""; 0]);
}
