//! What identify prints is what the controller says.

use nvme_spdk::{DISCOVERY_NQN, decode};
use serde_json::Value;

use crate::tool::{connect, id, target, tool};

/// A field of a decoded structure.
fn field<'a>(found: &'a Value, name: &str) -> &'a Value {
    let fields = found["fields"].as_array().expect("fields");
    &fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("no {name}: {found}"))["value"]
}

fn by_id(found: &Value, id: u32) -> &Value {
    let all = found.as_array().expect("a list");
    all.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id:#x}: {found}"))
}

#[test]
fn an_address_alone_means_the_discovery_controller_and_what_it_lists() {
    let done = tool("identify").args(["--json", "-r", &target().address().to_string()]).end();
    assert_eq!(done.code, 0, "{}", done.err);
    let all: Value = serde_json::from_str(&done.out).expect("JSON");
    let [discovery, subsystem] = all["controllers"].as_array().expect("a list").as_slice() else {
        panic!("two controllers: {all}")
    };
    assert_eq!(discovery["subnqn"], DISCOVERY_NQN);
    let log = by_id(&discovery["logs"], 0x70);
    assert_eq!(*field(log, "NUMREC"), 1);
    assert_eq!(*field(&log["parts"][0], "SUBNQN"), target().subnqn());
    assert_ne!(*field(by_id(&discovery["registers"], 0), "MQES"), 0);
    assert_eq!(discovery["namespaces"], Value::Array(Vec::new()));

    let controller = connect();
    assert_eq!(subsystem["subnqn"], target().subnqn());
    let capabilities = by_id(&subsystem["registers"], 0);
    assert_eq!(*field(capabilities, "MQES"), controller.max_queue_entries() - 1);
    let ready = by_id(&subsystem["registers"], 0x1c);
    assert_eq!(*field(ready, "RDY"), 1);
    // The connections of the tool and of this test get controllers of their own.
    let mut ours = serde_json::to_value(decode::identify(1, controller.identify().as_bytes())).expect("JSON");
    let mut theirs = by_id(&subsystem["identify"], 1).clone();
    for fields in [&mut ours["fields"], &mut theirs["fields"]] {
        fields.as_array_mut().expect("a list").retain(|field| field["name"] != "CNTLID");
    }
    assert_eq!((&ours["fields"], &ours["parts"]), (&theirs["fields"], &theirs["parts"]));
    assert_eq!(*field(by_id(&subsystem["features"], 7), "NSQ"), controller.max_io_queues() - 1);
    for lid in [1, 2, 3, 5] {
        assert_eq!(by_id(&subsystem["logs"], lid)["name"], *decode::log_page(lid as u8, &[]).name);
    }
    let effects = by_id(&subsystem["logs"], 5);
    assert!(
        effects["parts"].as_array().expect("a list").iter().any(|part| part["name"] == "Admin 06h Identify")
    );

    let namespaces = subsystem["namespaces"].as_array().expect("a list");
    assert_eq!(namespaces.len(), 2);
    for (one, nsid) in namespaces.iter().zip(1..) {
        let namespace = controller.namespace(nsid).expect("a namespace");
        assert_eq!(one["nsid"], nsid);
        let identify = by_id(&one["identify"], 0);
        assert_eq!(*field(identify, "NSZE"), namespace.blocks());
        assert_eq!(identify["parts"][0]["name"], "LBA Format 0, in use");
        assert_eq!(*field(by_id(&one["features"], 5), "TLER"), 0);
    }
    // What is refused is told with its status.
    let refused = subsystem["refused"].to_string();
    assert!(refused.contains("feature 0Ch, Autonomous Power State Transition"), "{refused}");
    assert!(refused.contains("INVALID FIELD"), "{refused}");
}

#[test]
fn as_text_with_bytes_of_one_namespace() {
    let done = tool("identify").args(["-x", "-r", &format!("{} ns:2", id()), "--log", "0x02:64"]).end();
    assert_eq!(done.code, 0, "{}", done.err);
    for line in [
        format!("TCP  (addr:127.0.0.1 subnqn:{})\n", target().subnqn()),
        "  MN         nvme-spdk embedded target  Model Number\n".to_owned(),
        "  MDTS       5             Maximum Data Transfer Size: 32 pages\n".to_owned(),
        "Volatile Write Cache\n  WCE  1  Volatile Write Cache Enable: enabled\n".to_owned(),
        "Namespace 2\n===========\n".to_owned(),
        "Error Information\n  nothing\n".to_owned(),
        "  Admin 02h Get Log Page\n".to_owned(),
    ] {
        assert!(done.out.contains(&line), "{:.4000}\n… has no {line:?}", done.out);
    }
    assert!(!done.out.contains("Namespace 1\n"));
    // The serial number, as it stands in the structure.
    assert!(done.out.contains("45 4d 42 45  44 44 45 44 30 30 30 31"), "{}", done.out);
    assert_eq!(
        done.out.matches("SMART / Health Information\n").count(),
        2,
        "the one that was asked for as well"
    );
}
