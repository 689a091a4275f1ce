//! What does re-mastering hundreds of hosts cost, beside doing the same by `ssh` under `xargs`? Prints a table with machine and date.
//!
//! Every host has its own sshd, all on this machine: what the servers cost is in the wall time of both, and in neither's CPU time.
//!
//! ```console
//! # cargo build --release -p bldr-cli && cargo run -p bldr-testkit --features lab --example bench_hosts -- target/release/bldr 200
//! ```
//!
//! Without a program (`-` in its place) only `ssh` is measured: as it comes, and with the key exchange that bldr chooses.

#[cfg(feature = "lab")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    bench::run().await
}

#[cfg(not(feature = "lab"))]
fn main() {
    eprintln!("bench_hosts: build it with --features lab");
    std::process::exit(2);
}

#[cfg(feature = "lab")]
mod bench {
    use bldr_core::{build_vars::BuildVars, context::Context, fleet::Ec2Id, name::StackName};
    use bldr_testkit::{
        lab::{Host, InstanceSpec, Lab, REGION},
        salt,
        spec::{FleetSpec, made_up_context},
    };
    use futures::future::try_join_all;
    use std::{
        error::Error,
        fs,
        net::Ipv4Addr,
        path::{Path, PathBuf},
        process::Command,
        time::{Duration, Instant},
    };

    type Outcome<T> = Result<T, Box<dyn Error>>;

    const MASTERS: [(&str, Ipv4Addr); 2] =
        [("master-server--a", Ipv4Addr::new(10, 77, 0, 10)), ("master-server--b", Ipv4Addr::new(10, 77, 0, 20))];
    const JOBS: usize = 64;

    /// Runs a program and writes what it and all its descendants used: seconds, user, system, KiB of the largest, exit code.
    const MEASURE: &str = "import json, resource, subprocess, sys, time
began = time.monotonic()
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
report = [time.monotonic() - began, used.ru_utime, used.ru_stime, used.ru_maxrss, code]
open(sys.argv[1], 'w').write(json.dumps(report))";

    /// One node by hand: $1 its address, $2 the folder of the bench. A connection for each step.
    const BY_HAND: &str = r#"set -eu
on() { ssh -F /dev/null -i "$KEY" -o UserKnownHostsFile="$2/known_hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes -o LogLevel=ERROR \
    -o ControlMaster=no -o ConnectTimeout=60 $MORE "ubuntu@$1" "$3"; }
on "$1" "$2" 'sudo cat /etc/build-vars.json.b64 /etc/salt/minion /etc/salt/pki/minion/minion_master.pub' >/dev/null </dev/null
on "$1" "$2" 'sudo tee /etc/build-vars.json.b64 >/dev/null' <"$2/build-vars/$1"
on "$1" "$2" 'sudo systemctl stop salt-minion; sudo sed -i "s/^master:.*/master: 10.77.0.20/" /etc/salt/minion
    sudo tee /etc/salt/pki/minion/minion_master.pub >/dev/null; sudo systemctl start salt-minion' <"$2/master.pub"
on "$1" "$2" 'sudo salt-call state.highstate --out=json --retcode-passthrough' >/dev/null </dev/null
"#;

    struct Bench {
        lab: Lab,
        minions: Vec<(Ec2Id, Host)>,
        home: PathBuf,
        up: Duration,
    }

    struct Row {
        name: &'static str,
        up: Duration,
        used: Vec<f64>,
        connections: f64,
        commands: f64,
        done: usize,
    }

    pub async fn run() -> Outcome<()> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let (program, count) = match &args[..] {
            [program] => (program, 200),
            [program, count] => (program, count.parse()?),
            _ => return Err("usage: bench_hosts BLDR|- [HOSTS]".into()),
        };
        let mut rows = Vec::new();
        if program != "-" {
            let program = fs::canonicalize(program)?.display().to_string();
            let bench = fleet(count).await?;
            let home = bench.home.display().to_string();
            let jobs = format!("--jobs={JOBS}");
            let command = [&program, "--home", &home, "--yes", "master.remaster_all", "master-server--b", &jobs];
            rows.push(bench.measured("bldr", &command).await?);
        }
        // OpenSSH's own first choice of a key exchange costs it more than all the rest together.
        for (name, more) in [("ssh, xargs", ""), ("ssh, curve25519", "-oKexAlgorithms=curve25519-sha256")] {
            let bench = fleet(count).await?;
            let (home, script) = (bench.home.display(), bench.home.join("by_hand.sh"));
            fs::write(&script, BY_HAND)?;
            let line = format!("export MORE='{more}'; xargs -P {JOBS} -I@ sh {} @ {home} <{home}/addresses", script.display());
            rows.push(bench.measured(name, &["sh", "-c", &line]).await?);
        }
        print(count, &rows);
        Ok(())
    }

    /// A fleet under master `a`, and all that is needed to bring it under `b`. Half of the stacks are prod, and go last.
    async fn fleet(count: usize) -> Outcome<Bench> {
        let names: Vec<String> =
            (0..count).map(|n| format!("project-{:03}--{}", n / 2 + 1, if n % 2 == 0 { "ci" } else { "prod" })).collect();
        let [(_, old), (_, new)] = MASTERS;
        let lab = Lab::new().await?;
        let home = lab.dir().join("home");
        let contexts = home.join(".cfn/contexts");
        fs::create_dir_all(&contexts)?;
        fs::create_dir(home.join("build-vars"))?;

        let mut specs = Vec::new();
        for (name, private) in MASTERS {
            let key = salt::made_up_key(name);
            let spec = InstanceSpec { private: Some(private), ..InstanceSpec::new(name) };
            specs.push(spec.file("/etc/salt/master", "interface: 0.0.0.0\nauto_accept: True\n", 0o644).file(
                "/etc/salt/pki/master/master.pub",
                key,
                0o644,
            ));
        }
        for name in &names {
            let stack: StackName = name.parse()?;
            let context = made_up_context(&stack, 1, &old.to_string(), REGION);
            let build_vars = BuildVars::derived(&Context::parse(&context)?, &stack.node(1));
            fs::write(contexts.join(format!("{name}.json")), context)?;
            let spec = InstanceSpec::new(name)
                .file("/etc/build-vars.json.b64", build_vars.encode(), 0o644)
                .file("/etc/salt/minion", format!("master: {old}\nid: {name}--1\n"), 0o644)
                .file("/etc/salt/pki/minion/minion_master.pub", salt::made_up_key(MASTERS[0].0), 0o644);
            specs.push(spec);
        }
        lab.ec2().await?;
        let began = Instant::now();
        let mut minions = lab.instances(specs).await?;
        let up = began.elapsed();

        let known: Result<String, _> = minions.iter().map(|(_, host)| host.known_hosts()).collect();
        fs::write(home.join("known_hosts"), known?)?;
        minions.drain(..MASTERS.len());
        let mut addresses = String::new();
        for ((_, host), name) in minions.iter().zip(&names) {
            let address = host.public().unwrap_or(host.private());
            addresses.push_str(&format!("{address}\n"));
            let stack: StackName = name.parse()?;
            let context = Context::parse(&made_up_context(&stack, 1, &new.to_string(), REGION))?;
            fs::write(home.join("build-vars").join(address.to_string()), BuildVars::derived(&context, &stack.node(1)).encode())?;
        }
        fs::write(home.join("addresses"), addresses)?;
        fs::write(home.join("master.pub"), salt::made_up_key(MASTERS[1].0))?;
        let stacks: Vec<&str> = names.iter().map(String::as_str).collect();
        let shared = FleetSpec { shared: Some(new.to_string()), ..FleetSpec::of(&stacks) };
        fs::write(home.join("project.yaml"), shared.project_yaml())?;
        fs::write(home.join("settings.yaml"), settings(&home, &lab.key()))?;
        Ok(Bench { lab, minions, home, up })
    }

    fn settings(home: &Path, key: &Path) -> String {
        format!(
            "cloud: aws\nregion: {REGION}\nproject-files: [project.yaml]\nusers:\n  deploy: ubuntu\nssh:\n  known-hosts: {}\n  identities: [{}]\n  config: /dev/null\n",
            home.join("known_hosts").display(),
            key.display()
        )
    }

    impl Bench {
        async fn measured(self, name: &'static str, command: &[&str]) -> Outcome<Row> {
            let report = self.home.join("report").display().to_string();
            let mut env = self.lab.ec2().await?.env();
            env.push(("KEY".into(), self.lab.key().display().to_string()));
            let venv = std::env::var("BLDR_VENV").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../.build/venv").into());
            let args = [&["-c", MEASURE, &report], command].concat();
            let output = self.lab.run_in_hub(format!("{venv}/bin/python3"), &args, &env).await?;
            let used: Vec<f64> = serde_json::from_str(&fs::read_to_string(&report)?)?;
            if used.last() != Some(&0.0) {
                eprint!("{name}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            }
            const COUNT: &str = r#"count() { grep -c "$@" || true; }
                count 'Accepted publickey' /var/log/auth.log; count 'Starting session: command' /var/log/auth.log
                count '^master: 10.77.0.20$' /etc/salt/minion; touch /var/log/salt/stub.log; count state.highstate /var/log/salt/stub.log"#;
            let counted = try_join_all(self.minions.iter().map(|(_, host)| host.shell(COUNT))).await?;
            let counts: Vec<Vec<usize>> =
                counted.iter().map(|text| text.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect()).collect();
            let all = |at: usize| counts.iter().map(move |row| row.get(at).copied().unwrap_or(0));
            let mean = |at: usize| all(at).sum::<usize>() as f64 / counts.len() as f64;
            let done = all(2).zip(all(3)).filter(|(pointed, ran)| *pointed == 1 && *ran > 0).count();
            Ok(Row { name, up: self.up, used, connections: mean(0), commands: mean(1), done })
        }
    }

    fn said(program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    }

    fn print(count: usize, rows: &[Row]) {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|l| l.strip_prefix("model name")).map_or("", |l| l.trim_start_matches([' ', '\t', ':']));
        println!("{}, {} x {model}, Linux {}", said("date", &["-u", "+%F"]), said("nproc", &[]), said("uname", &["-r"]));
        println!("{count} hosts with sshd and a stand-in for salt-call, {JOBS} at a time\n");
        println!("                   hosts up      wall   user    sys  largest process  connections  commands  done");
        for row in rows {
            let [wall, user, sys, kib, _] = row.used[..] else { continue };
            println!(
                "{:<17} {:>7.1} s {:>7.1} s {user:>4.1} s {sys:>4.1} s {:>12.1} MiB  {:>11.1}  {:>8.1}  {:>4}",
                row.name,
                row.up.as_secs_f64(),
                wall,
                kib / 1024.0,
                row.connections,
                row.commands,
                row.done
            );
        }
        println!("\nconnections and commands: a node, on average; done: nodes that point to the new master and ran a highstate");
    }
}
