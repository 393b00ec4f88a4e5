//! What people see of a plan before it runs.

use insta::assert_snapshot;

use super::*;
use std::time::Duration;

use crate::plan::sketch::sketch;
use crate::plan::{Group, GroupId, GroupKind, Handle, Need, Produced, StepId, StepKind};

fn told(text: &str, format: Format, change: impl FnOnce(&mut Plan)) -> String {
    let mut plan = sketch(text);
    change(&mut plan);
    let mut sources = Sources::default();
    sources.add("deploy.ms", text);
    export(&plan, &sources, format)
}

/// The flow table of LAVA's manual: three roles, and the observer waits for neither signal.
const LAVA: &str = "server: barrier start; $ server_start.sh; signal ready; barrier fin
client: barrier start; wait ready; $ client-tasks.sh; barrier fin
observer: barrier start; barrier fin";

/// Everything that a sketch cannot say: a background process, a value, a group, a guard.
fn extras(plan: &mut Plan) {
    let StepKind::Run(code) = plan.steps[StepId(0)].kind else { unreachable!() };
    let every = Duration::from_secs(1);
    let handle = Handle { name: "httpd".into(), step: StepId(0), code, ready: None, alive: None, every };
    plan.steps[StepId(0)].kind = StepKind::Start(plan.handles.push(handle));
    let StepKind::Run(code) = plan.steps[StepId(1)].kind else { unreachable!() };
    let value = plan.values.push(Produced { name: "port".into(), step: StepId(1), users: vec![StepId(4)] });
    plan.steps[StepId(1)].kind = StepKind::Capture(value, code);
    plan.steps[StepId(4)].extra.get_or_insert_default().needs = vec![Need::Value(value)];
    let kind = GroupKind::Retry { times: 3, every: Duration::from_secs(2) };
    let group = plan.groups.push(Group { first: StepId(5), last: StepId(6), kind });
    plan.steps[StepId(5)].extra.get_or_insert_default().opens = vec![group];
    plan.steps[StepId(6)].extra.get_or_insert_default().closes = vec![group];
    assert_eq!(group, GroupId(0));
}

const RICH: &str = "web: $ serve | log; $ free-port; barrier end; finally; $ rm \"#1\"
db: $ nc -z web; $ wipe; $ set-up; barrier end
finale: finally; $ collect";

#[test]
fn the_table_of_lava() {
    assert_snapshot!(told(LAVA, Format::Table, |_| ()), @"
    | server            | client            | observer |
    | ----------------- | ----------------- | -------- |
    | ▣ start           | ▣ start           | ▣ start  |
    | $ server_start.sh |                   |          |
    | → ready           |                   |          |
    |                   | ← ready           |          |
    |                   | $ client-tasks.sh |          |
    | ▣ fin             | ▣ fin             | ▣ fin    |
    ");
}

#[test]
fn the_example_of_the_chapter_is_what_is_written() {
    let (_, after) = include_str!("../../spec/graph.md").split_once("\n```table\n").unwrap();
    assert_eq!(told(LAVA, Format::Table, |_| ()), after.split_once("```").unwrap().0);
}

#[test]
fn a_table_of_everything() {
    assert_snapshot!(told(RICH, Format::Table, extras), @r##"
    | web                      | db                           | finale             |
    | ------------------------ | ---------------------------- | ------------------ |
    | start httpd [background] |                              |                    |
    | let port →               |                              |                    |
    |                          | $ nc -z web ← port           |                    |
    |                          | $ wipe [retry 3x every 2s]   |                    |
    |                          | $ set-up [retry 3x every 2s] |                    |
    | ▣ end                    | ▣ end                        |                    |
    | finally: $ rm "#1"       |                              |                    |
    |                          |                              | finally: $ collect |
    "##);
}

#[test]
fn cells_are_escaped() {
    assert_eq!(told("a: $ x | y", Format::Table, |_| ()), "| a        |\n| -------- |\n| $ x \\| y |\n");
}

#[test]
fn text_for_a_terminal() {
    assert_snapshot!(told(RICH, Format::Text, extras), @r##"
    sketch

    web (local)
      start httpd  deploy.ms:1  background
      let port     deploy.ms:1  for db
      barrier end  deploy.ms:1  meets db
      finally
        $ rm "#1"  deploy.ms:1

    db (local)
      $ nc -z web  deploy.ms:2  needs port of web
      retry 3x every 2s
        $ wipe     deploy.ms:2
        $ set-up   deploy.ms:2
      barrier end  deploy.ms:2  meets web

    finale (local)
      finally
        $ collect  deploy.ms:3
    "##);
}

#[test]
fn text_names_who_signals_and_who_waits() {
    assert_snapshot!(told(LAVA, Format::Text, |_| ()), @"
    sketch

    server (local)
      barrier start      deploy.ms:1  meets client and observer
      $ server_start.sh  deploy.ms:1
      signal ready       deploy.ms:1  for client
      barrier fin        deploy.ms:1  meets client and observer

    client (local)
      barrier start      deploy.ms:2  meets server and observer
      wait ready         deploy.ms:2  from server
      $ client-tasks.sh  deploy.ms:2
      barrier fin        deploy.ms:2  meets server and observer

    observer (local)
      barrier start      deploy.ms:3  meets server and client
      barrier fin        deploy.ms:3  meets server and client
    ");
}

#[test]
fn dot() {
    assert_snapshot!(told(RICH, Format::Dot, extras), @r##"
    digraph mstream {
      label="sketch"; labelloc=t; fontname="sans-serif";
      node [shape=box, style=rounded, fontname="sans-serif"];
      subgraph cluster_0 {
        label="web (local)"; style=rounded;
        t0 [label="", shape=point];
        s0 [label="start httpd\ndeploy.ms:1\n[background]", peripheries=2];
        s1 [label="let port\ndeploy.ms:1"];
        s3 [label="$ rm \"#1\"\ndeploy.ms:1", style="rounded,dashed"];
      }
      t0 -> s0;
      subgraph cluster_1 {
        label="db (local)"; style=rounded;
        t1 [label="", shape=point];
        s4 [label="$ nc -z web\ndeploy.ms:2"];
        s5 [label="$ wipe\ndeploy.ms:2\n[retry 3x every 2s]"];
        s6 [label="$ set-up\ndeploy.ms:2\n[retry 3x every 2s]"];
      }
      t1 -> s4;
      subgraph cluster_2 {
        label="finale (local)"; style=rounded;
        t2 [label="", shape=point];
        s8 [label="$ collect\ndeploy.ms:3", style="rounded,dashed"];
      }
      t2 -> s8;
      b0 [label="end", shape=hexagon, style=solid];
      s0 -> s1;
      s1 -> b0 [color=purple];
      b0 -> s3 [color=purple];
      s4 -> s5;
      s5 -> s6;
      s6 -> b0 [color=purple];
      s3 -> s8 [color=gray, style=dashed];
      b0 -> s8 [color=gray, style=dashed];
      s1 -> s4 [color=darkgreen, style=dotted];
    }
    "##);
}

#[test]
fn mermaid() {
    assert_snapshot!(told(RICH, Format::Mermaid, extras), @r#"
    ---
    title: "sketch"
    ---
    flowchart TB
      subgraph c0["web (local)"]
        t0((" "))
        s0["start httpd (background)"]
        s1["let port"]
        s3["$ rm #34;#35;1#34;"]
      end
      subgraph c1["db (local)"]
        t1((" "))
        s4["$ nc -z web"]
        s5["$ wipe (retry 3x every 2s)"]
        s6["$ set-up (retry 3x every 2s)"]
      end
      subgraph c2["finale (local)"]
        t2((" "))
        s8["$ collect"]
      end
      b0{{"end"}}
      t0 --> s0
      t1 --> s4
      t2 --> s8
      s0 --> s1
      s1 ==> b0
      b0 ==> s3
      s4 --> s5
      s5 --> s6
      s6 ==> b0
      s3 -.-> s8
      b0 -.-> s8
      s1 -.-> s4
      classDef background stroke-width:3px
      class s0 background
      classDef cleanup stroke-dasharray:4
      class s3,s8 cleanup
    "#);
}

#[test]
fn json() {
    let text = told(RICH, Format::Json, extras);
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    assert_snapshot!(text, @r##"
    {
      "schema": 1,
      "title": "sketch",
      "streams": [
        {"name":"web","kind":"local","finale":false},
        {"name":"db","kind":"local","finale":false},
        {"name":"finale","kind":"local","finale":true}
      ],
      "steps": [
        {"id":"s0","stream":"web","label":"start httpd","kind":"start","file":"deploy.ms","line":1},
        {"id":"s1","stream":"web","label":"let port","kind":"let","file":"deploy.ms","line":1},
        {"id":"s2","stream":"web","label":"barrier end","kind":"barrier","file":"deploy.ms","line":1,"barrier":"b0"},
        {"id":"s3","stream":"web","label":"$ rm \"#1\"","kind":"code","file":"deploy.ms","line":1,"finally":true},
        {"id":"s4","stream":"db","label":"$ nc -z web","kind":"code","file":"deploy.ms","line":2},
        {"id":"s5","stream":"db","label":"$ wipe","kind":"code","file":"deploy.ms","line":2,"group":"g0"},
        {"id":"s6","stream":"db","label":"$ set-up","kind":"code","file":"deploy.ms","line":2,"group":"g0"},
        {"id":"s7","stream":"db","label":"barrier end","kind":"barrier","file":"deploy.ms","line":2,"barrier":"b0"},
        {"id":"s8","stream":"finale","label":"$ collect","kind":"code","file":"deploy.ms","line":3,"finally":true}
      ],
      "barriers": [
        {"id":"b0","name":"end","round":1,"rounds":1,"gate":false,"parties":["s2","s7"]}
      ],
      "signals": [],
      "values": [
        {"name":"port","step":"s1","users":["s4"]}
      ],
      "groups": [
        {"id":"g0","what":"retry 3x every 2s","first":"s5","last":"s6"}
      ],
      "edges": [
        {"from":"s0","to":"s1","kind":"seq"},
        {"from":"s1","to":"b0","kind":"barrier"},
        {"from":"b0","to":"s3","kind":"barrier"},
        {"from":"s4","to":"s5","kind":"seq"},
        {"from":"s5","to":"s6","kind":"seq"},
        {"from":"s6","to":"b0","kind":"barrier"},
        {"from":"s3","to":"s8","kind":"end"},
        {"from":"b0","to":"s8","kind":"end"},
        {"from":"s1","to":"s4","kind":"value"}
      ]
    }
    "##);
}

#[test]
fn signals_are_nodes_of_their_own() {
    let text = told("a: signal up\nb: signal up\nc: wait up\nd: wait up", Format::Mermaid, |_| ());
    let edges: Vec<&str> = text.lines().filter(|line| line.contains("-.->")).map(str::trim).collect();
    assert_eq!(edges, ["s0 -.-> w0", "s1 -.-> w0", "w0 -.-> s2", "w0 -.-> s3"]);
}

#[test]
fn a_start_gate_stands_before_its_steps() {
    let gate = |plan: &mut Plan| {
        let first = plan.barriers.ids().next().unwrap();
        (plan.barriers[first].gate, plan.barriers[first].name) = (true, None);
        for step in [StepId(0), StepId(2)] {
            plan.steps[step].kind = plan.steps[StepId(step.0 + 1)].kind;
            plan.steps[step].extra.get_or_insert_default().gate = Some(first);
        }
    };
    assert_snapshot!(told("a: barrier go; $ one\nb: barrier go; $ two", Format::Table, gate), @"
    | a                | b                |
    | ---------------- | ---------------- |
    | ▣ start together | ▣ start together |
    | $ one            | $ two            |
    | $ one            | $ two            |
    ");
}

#[test]
fn an_empty_plan_has_all_forms() {
    let shown = Format::ALL.map(|(format, _)| told("", format, |_| ()));
    assert_eq!(shown[0], "sketch\n");
    assert!(shown.iter().all(|text| text.ends_with('\n')));
}

#[test]
fn thousands_of_parties_are_one_node() {
    let text = (0..1000).map(|n| format!("s{n}: $ x; barrier b; $ y\n")).collect::<Vec<_>>().concat();
    let dot = told(&text, Format::Dot, |_| ());
    assert_eq!(dot.matches("-> b0").count(), 1000);
    assert_eq!(dot.matches("b0 ->").count(), 1000);
}

#[test]
fn endings_choose_the_form() {
    let asked = ["a.txt", "a.md", "a.dot", "a.gv", "a.mmd", "a.mermaid", "a.json"];
    let forms = asked.map(|name| Format::from_extension(Path::new(name)).unwrap());
    assert_eq!(
        forms,
        [Format::Text, Format::Table, Format::Dot, Format::Dot, Format::Mermaid, Format::Mermaid, Format::Json]
    );
    assert_eq!(Format::from_extension(Path::new("a.png")), None);
    assert_eq!(Format::from_extension(Path::new("Makefile")), None);
}
