//! Does the life of a master happen with real parts? EC2 that runs machines, stock OpenSSH, real Salt, a git host with deploy keys.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_testkit::lab::{GitHost, Host, HostKind, Lab, Launching, REGION};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

const FIRST: &str = "master-server--prod";
const SECOND: &str = "master-server--2001-01-01";
const REPOSITORIES: [&str; 3] = ["builder-private", "builder-configuration", "base-formula"];

/// The template of a master's configuration, as a team keeps it.
const TEMPLATE: &str = "# our masters\nworker_threads: 2 # small machines\nfile_roots:\n  base: []\npillar_roots:\n  base: []\n";
const STATE: &str = "/etc/highstate-ran:\n  file.managed:\n    - contents: for {{ grains['id'] }} by {{ opts['master'] }}\n";

struct Team {
    lab: Lab,
    git: GitHost,
    home: PathBuf,
    _folder: tempfile::TempDir,
}

impl Team {
    async fn new() -> Self {
        Lab::available().unwrap();
        let lab = Lab::new().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_path_buf();
        let git = GitHost::new(&lab, "10.77.0.30".parse().unwrap()).await.unwrap();
        let private = [("etc-salt-master", TEMPLATE), ("salt/top.sls", "base:\n  '*': [base]\n"), ("pillar/top.sls", "{}\n")];
        git.commit("builder-private", &private).await.unwrap();
        git.commit("builder-configuration", &[("pillar/README", "nothing yet\n")]).await.unwrap();
        git.commit("base-formula", &[("salt/base.sls", STATE)]).await.unwrap();
        fs::create_dir_all(home.join(".cfn/contexts")).unwrap();
        fs::write(home.join("git_hosts"), git.known_hosts_lines().unwrap().join("\n")).unwrap();
        let settings = json!({
            "cloud": "aws",
            "region": REGION,
            "project-files": ["project.yaml"],
            "ssh": {"known-hosts": "known_hosts", "config": "ssh_config"},
            "salt": {"install": "pip", "packages": "/opt/wheels"},
            "git-hosts": "git_hosts",
        });
        fs::write(home.join("settings.yaml"), settings.to_string()).unwrap();
        let team = Self { lab, git, home, _folder: folder };
        team.write_projects().await;
        team
    }

    async fn write_projects(&self) {
        let (image, subnet) = (self.lab.image().await.unwrap(), self.lab.ec2().await.unwrap().subnet());
        let [private, configuration, formula] = REPOSITORIES.map(|name| self.git.url(name));
        let text = format!(
            "defaults:\n    salt: '3008.3'\n    formula-repo: null\n    formula-dependencies:\n        - {formula}\n    aws:\n        region: {REGION}\n        \
             subnet-id: {subnet}\n        ports: [22, 4505, 4506]\n        ec2:\n            ami: {image}\n            type: t3.small\n            \
             master_ip: 10.77.0.254 # nobody yet\n\nmaster-server:\n    private-repo: {private}\n    configuration-repo: {configuration}\n    aws: {{}}\n\n\
             harbor:\n    aws: {{}}\nquill:\n    aws: {{}}\n"
        );
        fs::write(self.home.join("project.yaml"), text).unwrap();
    }

    async fn bldr(&self, args: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let all = [&["--home", self.home.to_str().unwrap(), "--output", "json"], args].concat();
        let mut env = self.lab.ec2().await.unwrap().env();
        env.push(("HOME".into(), self.home.display().to_string()));
        let output = self.lab.run_in_hub(env!("CARGO_BIN_EXE_bldr"), &all, &env).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("{args:?}: {:?}\n{errors}", output.status.code());
        values.iter().filter(|event| event["event"] != "step_started").for_each(|event| eprintln!("  {event}"));
        (output.status.code(), values, errors)
    }

    /// Runs it, and says with which code and which outcome it ended for a stack.
    async fn ends(&self, line: &str, stack: &str) -> (Option<i32>, String) {
        let (code, told, _) = self.bldr(&line.split(' ').collect::<Vec<_>>()).await;
        let last = told.iter().rfind(|event| event["event"] == "run_finished").unwrap_or_else(|| panic!("{told:?}"));
        (code, last["outcomes"][stack].as_str().unwrap_or("none").to_owned())
    }

    async fn launched(&self, project: &str, id: &str) {
        let ended = self.ends(&format!("launch:{project},{id}"), &format!("{project}--{id}")).await;
        assert_eq!(ended, (Some(0), "launched".into()));
    }

    /// The host and the private address of a stack's machine.
    async fn machine(&self, stack: &str) -> (Host, String) {
        let ec2 = self.lab.ec2().await.unwrap();
        let filters = json!([{"Name": "tag:Cluster", "Values": [stack]}, {"Name": "instance-state-name", "Values": ["running"]}]);
        let said = ec2.call("describe_instances", json!({"Filters": filters})).await.unwrap();
        let id = said["Reservations"][0]["Instances"][0]["InstanceId"].as_str().unwrap();
        let private = said["Reservations"][0]["Instances"][0]["PrivateIpAddress"].as_str().unwrap().to_owned();
        (self.lab.launched(&bldr_core::fleet::Ec2Id(id.into())).unwrap(), private)
    }

    /// What an operator does once a master is locked out: fetch its key, and register it.
    async fn let_in(&self, master: &str) {
        let to = self.home.join(format!("{master}.pub"));
        let line = format!("download_file:{master},/root/.ssh/id_rsa.pub,{},use_bootstrap_user=True", to.display());
        assert_eq!(self.bldr(&[&line]).await.0, Some(0));
        self.git.register(&fs::read_to_string(to).unwrap(), &REPOSITORIES).await.unwrap();
        assert_eq!(self.ends(&format!("update:{master}"), master).await, (Some(0), "updated".into()));
    }
}

fn private_for_all_but_its_owner(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_is_launched_let_in_updated_replaced_and_retired() {
    let team = Team::new().await;
    // The first machines come without Salt, which is installed; the others have it, as those from a team's own image.
    let machines = Launching { kind: HostKind::Booted, without_salt: true, ..Launching::default() };
    team.lab.launches(machines.clone()).await.unwrap();
    let (code, told, _) = team.bldr(&["launch:master-server,prod"]).await;
    let last = told.last().unwrap();
    assert_eq!((code, &last["locked_out"]), (Some(1), &json!(FIRST)), "{last}");
    assert!(last["why"].as_str().unwrap().contains("Permission denied (publickey)"), "{last}");
    assert!(private_for_all_but_its_owner(&team.home.join(format!(".cfn/keypairs/{FIRST}.pem"))));
    let consoles = told.iter().filter(|event| event["action"] == "first_start" && event["event"] == "step_finished");
    assert!(consoles.map(|event| event["detail"].as_str().unwrap()).eq(["its host key is the one on its console"]), "{told:?}");
    team.let_in(FIRST).await;
    assert_eq!(team.bldr(&[&format!("master.share:{FIRST}"), "--yes"]).await.0, Some(0));

    let (first, address) = team.machine(FIRST).await;
    let config = first.shell("cat /etc/salt/master").await.unwrap();
    assert!(config.contains("worker_threads: 2 # small machines") && config.contains("/opt/formulas/base/salt/"), "{config}");
    assert_eq!(first.shell("cat /etc/highstate-ran").await.unwrap().trim(), format!("for {FIRST}--1 by {address}"));
    let started = "systemctl show -p MainPID --value salt-master";
    let before = first.shell(started).await.unwrap();

    team.launched("harbor", "ci").await;
    team.lab.launches(Launching { without_salt: false, ..machines }).await.unwrap();
    team.launched("quill", "prod").await;
    let (minion, _) = team.machine("harbor--ci").await;
    assert_eq!(minion.shell("cat /etc/highstate-ran").await.unwrap().trim(), format!("for harbor--ci--1 by {address}"));

    let (code, told, _) = team.bldr(&[&format!("master.update:{FIRST}")]).await;
    let begun = told.iter().filter(|event| event["event"] == "state_begun").map(|event| event["state"].as_str().unwrap());
    assert_eq!((code, begun.collect::<Vec<_>>()), (Some(0), vec!["file.managed /etc/highstate-ran"]), "real Salt tells what it is at");
    assert_eq!(first.shell(started).await.unwrap(), before, "nothing changed, so nothing was restarted");
    assert_eq!(team.ends("destroy:quill--prod --yes", "quill--prod").await, (Some(0), "destroyed".into()));
    assert!(!team.home.join(".cfn/contexts/quill--prod.json").exists() && !team.home.join(".cfn/keypairs/quill--prod.pem").exists());
    assert_eq!(team.ends(&format!("master.update:{FIRST}"), FIRST).await, (Some(0), "updated".into()));
    let held = first.shell("ls /etc/salt/pki/master/minions").await.unwrap();
    assert_eq!(held.lines().collect::<Vec<_>>(), ["harbor--ci--1", "master-server--prod--1"]);
    // Another machine of that name is another minion.
    team.launched("quill", "prod").await;

    assert_eq!(team.bldr(&["launch:master-server,2001-01-01"]).await.0, Some(1));
    team.let_in(SECOND).await;
    let (_, told, _) = team.bldr(&["master.list"]).await;
    assert_eq!((&told[0]["masters"][0]["name"], &told[0]["masters"][0]["preferred"]), (&json!(SECOND), &json!(true)));
    let (code, told, _) = team.bldr(&[&format!("master.doctor:{SECOND}")]).await;
    assert_eq!((code, &told[0]["fit"]), (Some(0), &json!(true)), "{told:?}");
    assert_eq!(team.bldr(&[&format!("master.share:{SECOND}"), "--yes"]).await.0, Some(0));
    let moved = team.ends(&format!("master.remaster:harbor--ci,{SECOND}"), "harbor--ci").await;
    assert_eq!(moved, (Some(0), "remastered".into()));
    let moved = team.ends(&format!("master.remaster_all:{SECOND} --yes"), "quill--prod").await;
    assert_eq!(moved, (Some(0), "remastered".into()));
    let (_, address) = team.machine(SECOND).await;
    for stack in ["harbor--ci", "quill--prod"] {
        let (node, _) = team.machine(stack).await;
        assert_eq!(node.shell("cat /etc/highstate-ran").await.unwrap().trim(), format!("for {stack}--1 by {address}"));
    }
    let (code, told, _) = team.bldr(&["master.status"]).await;
    assert_eq!(code, Some(0), "{told:?}");
    let (code, _, errors) = team.bldr(&[&format!("destroy:{SECOND}"), "--yes"]).await;
    assert!(code == Some(3) && errors.contains("cannot go yet"), "{errors}");
    let (code, _, errors) = team.bldr(&[&format!("master.retire:{FIRST}"), "--yes"]).await;
    assert_eq!(code, Some(0), "{errors}");
    let (code, _, errors) = team.bldr(&[&format!("master.retire:{FIRST},terminate=yes,grace=30"), "--yes"]).await;
    assert!(code == Some(3) && errors.contains("has been stopped for 0 days"), "{errors}");
}
