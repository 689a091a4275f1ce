//! Does the benchmark of re-mastering many hosts still run, with all that bldr is measured beside? A small run of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "lab")]

#[path = "../../testkit/examples/bench_hosts/bench/mod.rs"]
mod bench;

use std::{path::Path, process::Command};

const HOSTS: usize = 8;

#[tokio::test]
async fn everybody_brings_every_host_under_the_new_master() {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit");
    let tools = testkit.join("../.build/bench");
    let arguments = [testkit.join("bench/requirements.txt"), tools.clone()];
    assert!(Command::new(testkit.join("python/venv.sh")).args(arguments).status().unwrap().success());
    let bldr = env!("CARGO_BIN_EXE_bldr").into();
    let wanted = bench::Wanted { bldr, tools, hosts: HOSTS, rounds: 1, only: Vec::new() };
    let rows = bench::run(&wanted).await.unwrap();
    bench::print(&wanted, &rows);
    for row in &rows {
        assert_eq!((row.name, row.used.code, row.done), (row.name, 0, HOSTS));
        assert!(row.connections >= 1.0 && row.commands >= 1.0 && row.used.user > 0.0 && row.hosts > 0.0, "{row:?}");
    }
    assert_eq!(rows.len(), 8);
}
