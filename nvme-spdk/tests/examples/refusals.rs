//! What cannot be done is refused with the way out, and a status that scripts can tell apart.

use std::net::{Ipv4Addr, TcpListener};

use crate::tool::{id, tool};

/// The command line cannot be understood; it could not be done.
const USAGE: i32 = 2;
const FAILED: i32 = 3;

#[test]
fn every_refusal_says_what_to_do() {
    let id = id();
    let load = ["-q", "4", "-o", "4096", "-w", "randread", "-t", "1"];
    let perf = |more: &[&str]| {
        (0..load.len())
            .step_by(2)
            .filter(|at| !more.contains(&load[*at]))
            .flat_map(|at| load[at..at + 2].to_vec())
            .chain(more.to_vec())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("its address").to_string()
    };
    let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (name, arguments, code, text) in [
        ("perf", Vec::new(), USAGE, "--depth <DEPTH>"),
        ("perf", perf(&["-w", "rw"]), USAGE, "--rwmix <PERCENT>"),
        (
            "perf",
            perf(&["-w", "sequential"]),
            USAGE,
            "[possible values: read, write, rw, randread, randwrite, randrw]",
        ),
        ("perf", perf(&["-q", "0"]), USAGE, "0 is not in 1.."),
        ("perf", perf(&["-t", "never"]), USAGE, "a number of seconds above 0"),
        ("perf", perf(&["-c", "[1"]), USAGE, "no mask as 0x6, and no list as [1,2]"),
        ("perf", perf(&["-c", "0"]), USAGE, "names no CPU"),
        ("perf", perf(&["-r", "trtype:RDMA traddr:10.0.0.1"]), USAGE, "trtype is PCIe or TCP"),
        ("perf", perf(&["-M", "50"]), FAILED, "-M is for -w rw and randrw"),
        ("perf", perf(&["-P", "5"]), FAILED, "-q 4 is not enough for -P 5"),
        ("perf", perf(&["-q", "2000"]), FAILED, "add -P 2"),
        ("perf", perf(&["-o", "1000", "-r", &id]), FAILED, "no multiple of its blocks of 512 bytes"),
        ("perf", perf(&["-o", "1048576", "-r", &id]), FAILED, "(MDTS)"),
        ("perf", perf(&["-c", "[1000]", "-r", &id]), FAILED, "may not use CPU 1000"),
        ("hello_world", words(&["-r", &port]), FAILED, "nothing listens on that port"),
        ("hello_world", words(&["-r", &format!("{id} ns:9")]), FAILED, "there is no namespace 9"),
        ("hello_world", words(&["-r", &id, "--lba", "999999999"]), FAILED, "LBA OUT OF RANGE"),
        ("identify", words(&["-r", "a/b"]), USAGE, "is no address of an NVMe controller"),
        ("identify", words(&["--json", "--hex"]), USAGE, "cannot be used with"),
        ("identify", words(&["--log", "0x100"]), USAGE, "a log page is a number up to 0xff"),
        (
            "identify",
            words(&["-r", "trtype:TCP traddr:127.0.0.1 subnqn:nqn.x trsvcid:x"]),
            USAGE,
            "is no port",
        ),
        ("verify", words(&["--only", "check"]), USAGE, "--seed <SEED>"),
        ("verify", words(&["--pattern", "stripes"]), USAGE, "there are random, lba, zeros, ones"),
        ("verify", words(&["-r", &id, "-o", "700"]), FAILED, "no multiple of the blocks"),
        ("verify", words(&["-r", &id, "-o", "1048576"]), FAILED, "131072 bytes (MDTS)"),
        ("verify", words(&["-r", &id, "--lba", "131000", "--blocks", "1000"]), FAILED, "outside of TCP"),
        (
            "top",
            words(&["--socket", "/nonexistent/socket"]),
            FAILED,
            "no process serves at /nonexistent/socket",
        ),
        ("top", words(&["--interval", "0"]), USAGE, "a number of seconds from 0.05"),
    ] {
        let done = tool(name).args(&arguments).end();
        assert_eq!(done.code, code, "{name} {arguments:?}: {done:?}");
        assert!(done.err.contains(text), "{name} {arguments:?}: {text:?} is missing in {}", done.err);
    }
}

#[test]
fn help_names_every_option_and_where_controllers_are() {
    for (name, option) in [
        ("identify", "--json"),
        ("perf", "--rwmix"),
        ("hello_world", "--lba"),
        ("verify", "--pattern"),
        ("top", "--once"),
    ] {
        let done = tool(name).args(["--help"]).end();
        assert_eq!(done.code, 0);
        assert!(done.out.contains(option) && done.out.contains("Usage: "), "{}", done.out);
        assert_eq!(done.out.contains("trtype:TCP"), name != "top", "{}", done.out);
        assert!(done.out.lines().all(|line| line.len() <= 110), "{}", done.out);
    }
}
