//! What is found where.

use super::{got, params, read};

const LAB: &str = "\
timeout: 10s
sizes: [1, 2]
streams:
    first: ssh://tester@one.example.com
    second:
        type: ssh
        host: two.example.com
        port: 2222
    third: {type: docker, image: 'alpine:3'}
boot:
    fast:
        timeout: 5s
        sizes: [3]
    slow:
        version: 1.10
";

#[test]
fn values_are_inherited_and_the_nearest_counts() {
    let (all, sources) = params(LAB);
    assert_eq!(got(&all, &sources, "timeout", "*/fast/*"), "5s at /run/boot/fast (a.yaml:12)");
    assert_eq!(got(&all, &sources, "timeout", "*/slow/*"), "10s at /run (a.yaml:1)");
    assert_eq!(got(&all, &sources, "timeout", "/run/boot/slow/"), "10s at /run (a.yaml:1)");
    assert_eq!(got(&all, &sources, "timeout", "*/boot/*"), "clash: /run/boot/fast=5s, /run=10s");
    assert_eq!(got(&all, &sources, "timeout", "*/nowhere/*"), "nothing");
    assert_eq!(got(&all, &sources, "sizes", "*/fast/*"), "[1,2,3] at /run/boot/fast (a.yaml:13)");
}

#[test]
fn a_scalar_keeps_its_spelling() {
    let (all, _) = params(LAB);
    let hit = all.get("version", "*").unwrap().unwrap();
    assert_eq!(hit.value.node.text().map(|text| &**text), Some("1.10"));
    assert_eq!(hit.value.node.value().kind(), "a number");
}

#[test]
fn what_stands_at_a_path_comes_in_the_order_of_the_file() {
    let (all, sources) = params(LAB);
    let shown = |path: &str| -> Vec<String> {
        let found = all.at(path).into_iter();
        found
            .map(|it| format!("{}: {} ({})", it.name.node, it.data.node.value(), sources.place(it.name.span)))
            .collect()
    };
    assert_eq!(
        shown("/streams/*"),
        [
            "first: ssh://tester@one.example.com (a.yaml:4)",
            r#"second: {"type":"ssh","host":"two.example.com","port":2222} (a.yaml:5)"#,
            r#"third: {"type":"docker","image":"alpine:3"} (a.yaml:9)"#,
        ]
    );
    assert_eq!(shown("/run/streams/*"), shown("/streams/*"));
    assert_eq!(shown("/streams/f*"), shown("/streams/*")[..1]);
    assert_eq!(shown("/none/*"), [""; 0]);
}

#[test]
fn the_keys_of_a_path_are_those_of_its_own_nodes() {
    let (all, _) = params(LAB);
    let keys = all.keys("/streams/second/*").unwrap();
    let shown: Vec<String> = keys.iter().map(|(key, hit)| format!("{key}={}", hit.value.node.value())).collect();
    assert_eq!(shown, ["type=ssh", "host=two.example.com", "port=2222"]);
}

#[test]
fn files_are_merged_in_order() {
    let base = ("base.yaml", "a: 1\nb: 2\nn:\n  c: 3\n  d: 4\n");
    let over = ("over.yaml", "b: 20\nn:\n  !remove_value : d\n  c: 30\nmore: {}\n");
    let (tree, sources, problems) = read(&[base, over], 2);
    assert_eq!(problems, "");
    let all = tree.all();
    assert_eq!(got(&all, &sources, "a", "*"), "1 at /run (base.yaml:1)");
    assert_eq!(got(&all, &sources, "b", "*"), "20 at /run (over.yaml:1)");
    assert_eq!(got(&all, &sources, "c", "/n/*"), "30 at /run/n (over.yaml:4)");
    assert_eq!(got(&all, &sources, "d", "*"), "nothing");
}

#[test]
fn an_include_is_looked_for_beside_the_file_that_names_it() {
    let top = ("conf/top.yaml", "hw:\n  !include : parts/disk.yaml\n  cpu: 4\n");
    let disk = ("conf/parts/disk.yaml", "disk: scsi\n!include : size.yaml\n");
    let size = ("conf/parts/size.yaml", "size: 10\n");
    let (tree, sources, problems) = read(&[top, disk, size], 1);
    assert_eq!(problems, "");
    let all = tree.all();
    assert_eq!(got(&all, &sources, "size", "/hw/*"), "10 at /run/hw (conf/parts/size.yaml:1)");
    assert_eq!(got(&all, &sources, "cpu", "/hw/*"), "4 at /run/hw (conf/top.yaml:3)");
}

#[test]
fn variants_choose_one_child_of_each_mux() {
    let text = "os: !mux\n  fedora: {pkg: rpm}\n  debian: {pkg: deb}\ndisk: !mux\n  scsi:\n  virtio:\nname: x\n";
    let (tree, _, problems) = read(&[("a.yaml", text)], 1);
    assert_eq!(problems, "");
    let shown: Vec<String> = tree.variants().unwrap().map(|it| format!("{} {}", it.id, it.paths.join(" "))).collect();
    assert_eq!(
        shown,
        [
            "run-disk-scsi-os-fedora-a362 /run/os/fedora /run/disk/scsi",
            "run-disk-virtio-os-fedora-11f1 /run/os/fedora /run/disk/virtio",
            "run-disk-scsi-os-debian-e267 /run/os/debian /run/disk/scsi",
            "run-disk-virtio-os-debian-c0f6 /run/os/debian /run/disk/virtio",
        ]
    );
}
