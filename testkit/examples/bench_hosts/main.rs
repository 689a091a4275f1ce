//! What does re-mastering hundreds of hosts cost, beside doing the same by Ansible, parallel-ssh and ssh? Prints a table.
//!
//! `testkit/bench/hosts.sh` builds and installs what it needs, and runs it:
//!
//! ```console
//! # testkit/bench/hosts.sh [HOSTS] [ROUNDS]
//! ```

#[cfg(feature = "lab")]
mod bench;

#[cfg(feature = "lab")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bldr, tools, hosts, rounds, only @ ..] = &args[..] else {
        return Err("usage: bench_hosts BLDR TOOLS HOSTS ROUNDS [CONTENDER...]; hosts.sh fills in the first two".into());
    };
    let wanted =
        bench::Wanted { bldr: bldr.into(), tools: tools.into(), hosts: hosts.parse()?, rounds: rounds.parse()?, only: only.to_vec() };
    let rows = bench::run(&wanted).await?;
    bench::print(&wanted, &rows);
    Ok(())
}

#[cfg(not(feature = "lab"))]
fn main() {
    eprintln!("bench_hosts: build it with --features lab");
    std::process::exit(2);
}
