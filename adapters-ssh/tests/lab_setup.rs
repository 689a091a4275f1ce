//! Do machines without Salt become a master and its minion over SSH, with real Salt, real systemd and a real git host?
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bare;

use async_trait::async_trait;
use bare::{Bare, GIT, MASTER as MASTER_HOST, NODE, host_of, wheels};
use bldr_core::{
    error::PortErrorKind,
    fleet::Host,
    ports::{Change, Enlistment, Installation, Masters, Minions, Refreshed, Role, SaltSource, Setup},
    salt_version::SaltVersion,
    ssh_key::SshPublicKey,
};
use bldr_testkit::{
    contract::setup::{Bench, Daemon, FORMULA, MASTER, MINION, PRIVATE, TEMPLATE, library, suite},
    lab,
};
use std::time::Duration;

#[async_trait]
impl Bench for Bare {
    fn setup(&self) -> &dyn Setup {
        &self.setup
    }
    fn minions(&self) -> &dyn Minions {
        &self.minions
    }
    fn masters(&self) -> &dyn Masters {
        &self.masters
    }
    fn node(&self) -> Host {
        host_of(NODE)
    }
    fn master(&self) -> Host {
        host_of(MASTER_HOST)
    }
    fn nobody(&self) -> Host {
        host_of(("harbor--nobody--1", "127.0.0.1"))
    }
    fn salt(&self) -> (SaltVersion, SaltSource) {
        (SaltVersion::find("3008.3").unwrap(), wheels())
    }
    fn nowhere(&self) -> SaltSource {
        SaltSource::Pip { packages: Some("/srv".into()) }
    }
    fn url(&self, repository: &str) -> String {
        self.git.url(repository)
    }
    fn known_hosts(&self) -> Vec<String> {
        self.git.known_hosts_lines().unwrap()
    }
    async fn commit(&self, repository: &str, files: &[(&str, &str)]) {
        self.git.commit(repository, files).await.unwrap();
    }
    async fn register(&self, key: &SshPublicKey, repositories: &[&str]) {
        self.git.register(key.line(), repositories).await.unwrap();
    }
    async fn put(&self, host: &Host, path: &str, content: Option<&str>) {
        match content {
            Some(content) => self.machine(host).write(path, content.as_bytes(), 0o644).await.unwrap(),
            None => drop(self.machine(host).shell(&format!("rm -f '{path}'")).await.unwrap()),
        }
    }
    async fn get(&self, host: &Host, path: &str) -> Option<String> {
        self.machine(host).read(path).await.unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }
    async fn is_up(&self, host: &Host, daemon: Daemon) -> bool {
        let unit = if daemon == Daemon::Minion { "salt-minion" } else { "salt-master" };
        self.machine(host).shell(&format!("systemctl is-active --quiet {unit}")).await.is_ok()
    }
    async fn stop_minion(&self, host: &Host) {
        self.machine(host).shell("systemctl stop salt-minion").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_over_ssh_keep_the_contract() {
    let bare = Bare::new(GIT).await;
    tokio::time::timeout(Duration::from_secs(1200), suite(&bare)).await.unwrap();
    nobody_else_reads_what_is_secret(&bare).await;
    the_salt_master_is_not_restarted_for_nothing(&bare).await;
    cron_does_the_same(&bare).await;
    a_folder_that_is_no_repository_is_kept(&bare).await;
    a_run_that_was_killed_in_the_middle_of_git_is_no_obstacle(&bare).await;
    what_was_killed_is_completed_by_the_next(&bare).await;
    a_configuration_that_salt_does_not_take_is_put_back(&bare).await;
}

async fn shell(bare: &Bare, line: &str) -> String {
    bare.machine(&bare.master()).shell(line).await.unwrap().trim().to_owned()
}

async fn refreshed(bare: &Bare) -> Refreshed {
    bare.setup.refresh(&bare.master(), &library(bare)).await.unwrap()
}

async fn nobody_else_reads_what_is_secret(bare: &Bare) {
    let closed = "/opt/builder-private /var/lib/bldr/refresh /root/.ssh /etc/salt/pki/master";
    assert_eq!(shell(bare, &format!("stat -c %a {closed}")).await, "700\n700\n700\n700");
    assert_eq!(shell(bare, "stat -c %a /root/.ssh/id_rsa /var/lib/bldr/refresh/library").await, "600\n600");
    let modes = bare.machine(&bare.node()).shell("stat -c %a /etc/salt /etc/salt/pki/minion /etc/salt/pki/minion/minion.p*").await.unwrap();
    assert_eq!(modes, "755\n700\n400\n644\n");
    assert_eq!(shell(bare, "readlink /srv/salt /srv/pillar").await, "/opt/builder-private/salt\n/opt/builder-private/pillar");
}

async fn the_salt_master_is_not_restarted_for_nothing(bare: &Bare) {
    let pid = "systemctl show --property=MainPID --value salt-master; systemctl is-enabled salt-master";
    let before = shell(bare, pid).await;
    bare.git.commit(FORMULA, &[("salt/harbor/init.sls", "fourth: test.nop\n")]).await.unwrap();
    assert_eq!(refreshed(bare).await.renewed, [bare.git.url(FORMULA)]);
    assert_eq!(shell(bare, pid).await, before);
}

/// With the line of cron's own table, as cron would.
async fn cron_does_the_same(bare: &Bare) {
    bare.git.commit(FORMULA, &[("salt/harbor/init.sls", "fifth: test.nop\n")]).await.unwrap();
    let line = "sh -c \"$(sed -n 's/^[0-9]* \\* \\* \\* \\* root //p' /etc/cron.d/bldr-refresh)\"";
    let log = shell(bare, &format!("env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root {line}; cat /var/log/bldr-refresh.log")).await;
    assert!(log.contains("/opt/formulas/harbor: brought up to date"), "{log}");
    assert!(log.ends_with("2 repositories, 1 renewed, 0 unread"), "{log}");
    assert_eq!(shell(bare, "cat /opt/formulas/harbor/salt/harbor/init.sls").await, "fifth: test.nop");
    assert_eq!(shell(bare, "stat -c %a:%U /etc/cron.d/bldr-refresh").await, "644:root");
    assert_eq!(refreshed(bare).await, Refreshed::default());
}

async fn a_folder_that_is_no_repository_is_kept(bare: &Bare) {
    shell(bare, "rm -rf /opt/formulas/harbor; mkdir /opt/formulas/harbor; echo mine >/opt/formulas/harbor/notes").await;
    assert_eq!(refreshed(bare).await.renewed, [bare.git.url(FORMULA)]);
    assert_eq!(shell(bare, "cat /var/lib/bldr/aside/harbor.*/notes").await, "mine");
    assert_eq!(shell(bare, "ls -A /opt/formulas; cat /opt/formulas/harbor/salt/harbor/init.sls").await, "harbor\nfifth: test.nop");
}

async fn a_run_that_was_killed_in_the_middle_of_git_is_no_obstacle(bare: &Bare) {
    bare.git.commit(FORMULA, &[("salt/harbor/init.sls", "sixth: test.nop\n")]).await.unwrap();
    shell(bare, "cd /opt/formulas/harbor/.git; touch bldr-busy index.lock shallow.lock HEAD.lock; mkdir /opt/formulas/.harbor.bldr-new")
        .await;
    assert_eq!(refreshed(bare).await, Refreshed { renewed: vec![bare.git.url(FORMULA)], ..Refreshed::default() });
    // Marked as due, and the master still up with its old configuration.
    shell(bare, "echo due >/var/lib/bldr/master-restart").await;
    assert_eq!(refreshed(bare).await, Refreshed { restarted: true, ..Refreshed::default() });
}

/// Whatever runs there for a while is killed as nobody can prevent; what came of it is not known then.
async fn killed_after<T>(machine: &lab::Host, millis: u64, running: impl Future<Output = T>, what: &str) {
    let kill = async {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        machine.shell(&format!("pkill -9 -f '{what}' || true")).await.unwrap();
    };
    tokio::join!(running, kill);
}

async fn what_was_killed_is_completed_by_the_next(bare: &Bare) {
    let (master, node) = (bare.machine(&bare.master()), bare.machine(&bare.node()));
    let key = bare.masters.read(&bare.master()).await.unwrap().key;
    let to = Enlistment { id: bare.node().node.to_string(), address: MASTER_HOST.1.parse().unwrap(), key };
    for (timeout, millis) in [(31, 200), (32, 400), (33, 700), (34, 1000), (35, 1500), (36, 3000)] {
        let template = TEMPLATE.replace("timeout: 15", &format!("timeout: {timeout}"));
        bare.git.commit(PRIVATE, &[("etc-salt-master", &template)]).await.unwrap();
        let (host, library) = (bare.master(), library(bare));
        let running = bare.setup.refresh(&host, &library);
        killed_after(master, millis, running, "[b]ldr-refresh|[r]efresh.sh|[g]it").await;
        let done = refreshed(bare).await;
        assert!(done.unread.is_empty() && done.unconfigured.is_none(), "killed after {millis} ms: {done:?}");
        assert!(bare.get(&bare.master(), MASTER).await.is_some_and(|config| config.contains(&format!("timeout: {timeout}"))));
        let since = "$(date -d \"$(systemctl show -p ActiveEnterTimestamp --value salt-master)\" +%s)";
        shell(bare, &format!("systemctl is-active --quiet salt-master; [ $(stat -c %Y /etc/salt/master) -le {since} ]")).await;
        assert_eq!(refreshed(bare).await, Refreshed::default(), "killed after {millis} ms");

        bare.put(&bare.node(), MINION, Some("id: somebody-else\nmaster: 10.77.9.9\n")).await;
        killed_after(node, millis, bare.setup.enlist(&bare.node(), &to), "[e]nlist.sh").await;
        bare.setup.enlist(&bare.node(), &to).await.unwrap();
        assert!(bare.is_up(&bare.node(), Daemon::Minion).await, "killed after {millis} ms");
        assert_eq!(bare.get(&bare.node(), MINION).await.unwrap(), format!("id: {}\nmaster: {}\n", to.id, to.address));
        assert_eq!(node.shell("ls /var/lib/bldr").await.unwrap(), "backup\nlock\n", "killed after {millis} ms");
    }
}

async fn a_configuration_that_salt_does_not_take_is_put_back(bare: &Bare) {
    let before = bare.get(&bare.master(), MASTER).await;
    // An address that this machine does not have.
    bare.git.commit(PRIVATE, &[("etc-salt-master", &format!("{TEMPLATE}publish_port: 4505\nret_port: 22\n"))]).await.unwrap();
    let done = refreshed(bare).await;
    assert!(done.unconfigured.as_deref().is_some_and(|why| why.contains("has the old one again")), "{done:?}");
    assert_eq!((done.configured, done.restarted), (false, true));
    assert_eq!(bare.get(&bare.master(), MASTER).await, before);
    assert_eq!(bare.masters.read(&bare.master()).await.unwrap().silent, None);
    // Every hour it would be down for a minute, otherwise.
    let pid = shell(bare, "systemctl show --property=MainPID --value salt-master").await;
    let log = shell(bare, "/usr/local/sbin/bldr-refresh hourly").await;
    assert!(log.contains("did not answer with the new one"), "{log}");
    assert_eq!(shell(bare, "systemctl show --property=MainPID --value salt-master").await, pid);
}

/// Packages that say what they are, and what they were told when they wanted to start something.
const PACKAGES: &str = r#"
mkdir -p /srv/apt; cd /srv/apt
program() { mkdir -p "$(dirname "$1")"; printf '#!/bin/sh\necho "%s %s (Argon)"\n' "$(basename "$1")" "$2" >"$1"; chmod 755 "$1"; }
package() {
    mkdir -p "$1/DEBIAN"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: lab <lab@example.org>\nDescription: lab\n' "$1" "$2" >"$1/DEBIAN/control"
    [ -z "$3" ] || printf 'Depends: %s\n' "$3" >>"$1/DEBIAN/control"
    printf '#!/bin/sh\n/usr/sbin/policy-rc.d; echo "$?" >>/srv/policy\n' >"$1/DEBIAN/postinst"
    chmod 755 "$1/DEBIAN/postinst"
    dpkg-deb --build --root-owner-group "$1" "$1_$2_all.deb" >/dev/null
    { cat "$1/DEBIAN/control"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$1_$2_all.deb" "$(stat -c %s "$1_$2_all.deb")" \
        "$(sha256sum "$1_$2_all.deb" | cut -d ' ' -f 1)"; } >>Packages
    rm -rf "$1"
}
for version in 3008.30 3008.3-1 3009.1; do
    bare=${version%-1}
    program salt-common/usr/bin/salt-call "$bare"; package salt-common "$version" ''
    program salt-minion/usr/bin/salt-minion "$bare"
    mkdir -p salt-minion/lib/systemd/system
    printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' >salt-minion/lib/systemd/system/salt-minion.service
    package salt-minion "$version" "salt-common (= $version)"
    for name in salt-master salt-key salt-run salt; do program "salt-master/usr/bin/$name" "$bare"; done
    package salt-master "$version" "salt-common (= $version)"
done
"#;

fn version(text: &str) -> SaltVersion {
    SaltVersion::find(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_and_programs_install_salt() {
    let bare = Bare::new(GIT).await;
    cloud_init_is_waited_for_and_heard(&bare).await;
    debian_packages(&bare).await;
    a_program_of_the_operators(&bare).await;
    an_installation_that_was_killed_is_completed(&bare).await;
}

async fn an_installation_that_was_killed_is_completed(bare: &Bare) {
    let (master, machine) = (bare.master(), bare.machine(&bare.master()));
    machine.shell("rm -f /usr/bin/salt*").await.unwrap();
    let wanted = Installation { version: version("3008.3"), role: Role::Master, source: wheels() };
    killed_after(machine, 6000, bare.setup.install(&master, &wanted), "[i]nstall-salt.sh|[p]ip").await;
    assert!(machine.shell("salt-call --version").await.is_err());
    assert_eq!(bare.setup.install(&master, &wanted).await.unwrap(), Change::Made);
    assert_eq!(machine.shell("ls /opt/saltstack; readlink /opt/saltstack/salt").await.unwrap(), "salt\nsalt-3008.3\nsalt-3008.3\n");
    assert_eq!(machine.shell("ls -A /var/lib/bldr").await.unwrap(), "");
}

/// As cloud-init says it; no real one is on these hosts.
async fn cloud_init_is_waited_for_and_heard(bare: &Bare) {
    let (node, machine) = (bare.node(), bare.machine(&bare.node()));
    let starts = async |ends: &str| {
        let said = "status: error\\nboot_status_code: enabled\\ndetail: DataSourceEc2\\nerrors:\\n\\t- (scripts_user, 1 failures)\\nrecoverable_errors: {}\\n";
        let program = format!("#!/bin/sh\ncase $* in 'status --wait') {ends} ;; 'status --long') printf \"{said}\" ;; esac\n");
        machine.write("/usr/bin/cloud-init", program.as_bytes(), 0o755).await.unwrap();
        bare.setup.first_start(&node, Duration::from_secs(2)).await
    };
    assert!(starts("exit 0").await.is_ok() && starts("exit 2").await.is_ok(), "2: it got over its errors");
    let failed = starts("exit 1").await.unwrap_err();
    assert!(failed.kind == PortErrorKind::Refused && failed.problem.ends_with("DataSourceEc2;(scripts_user, 1 failures)"), "{failed}");
    assert_eq!(starts("exec sleep 60").await.unwrap_err().kind, PortErrorKind::Unreachable);
    machine.shell("rm /usr/bin/cloud-init").await.unwrap();
}

async fn debian_packages(bare: &Bare) {
    let (node, machine) = (bare.node(), bare.machine(&bare.node()));
    machine.shell(PACKAGES).await.unwrap();
    let own_policy = "#!/bin/sh\nexit 0\n";
    machine.write("/usr/sbin/policy-rc.d", own_policy.as_bytes(), 0o755).await.unwrap();
    let wanted = |text: &str, role| {
        let source = SaltSource::Apt { source: "deb [trusted=yes] file:/srv/apt ./".into(), key: None };
        Installation { version: version(text), role, source }
    };
    let missing = bare.setup.install(&node, &wanted("3008.4", Role::Minion)).await.unwrap_err();
    assert!(missing.kind == PortErrorKind::Refused && missing.problem.contains("3008.3-1 3008.30 3009.1"), "{missing}");
    assert_eq!(bare.setup.install(&node, &wanted("3008.3", Role::Minion)).await.unwrap(), Change::Made);
    assert_eq!(bare.setup.install(&node, &wanted("3008.3", Role::Minion)).await.unwrap(), Change::NotNeeded);
    assert_eq!(machine.shell("cat /srv/policy").await.unwrap(), "101\n101\n", "nothing may start");
    assert_eq!(machine.shell("cat /usr/sbin/policy-rc.d").await.unwrap(), own_policy);
    assert!(!bare.is_up(&node, Daemon::Minion).await);
    // Nobody's upgrade moves it.
    let candidate = machine.shell("apt-cache policy salt-minion salt-common | grep Candidate").await.unwrap();
    assert_eq!(candidate, "  Candidate: 3008.3-1\n  Candidate: 3008.3-1\n");

    machine.shell("systemctl start salt-minion").await.unwrap();
    let pid = "systemctl show --property=MainPID --value salt-minion";
    let before = machine.shell(pid).await.unwrap();
    assert_eq!(bare.setup.install(&node, &wanted("3009.1", Role::Master)).await.unwrap(), Change::Made);
    assert!(bare.is_up(&node, Daemon::Minion).await, "it ran before");
    assert_ne!(machine.shell(pid).await.unwrap(), before);
    assert_eq!(bare.setup.install(&node, &wanted("3008.3", Role::Minion)).await.unwrap(), Change::Made, "back as well");
    assert_eq!(machine.shell("salt-call --version").await.unwrap(), "salt-call 3008.3 (Argon)\n");
}

async fn a_program_of_the_operators(bare: &Bare) {
    let (master, machine) = (bare.master(), bare.machine(&bare.master()));
    let by = |text: &str| Installation { version: version("3008.3"), role: Role::Master, source: SaltSource::Script(text.into()) };
    let error = async |text: &str| bare.setup.install(&master, &by(text)).await.unwrap_err();
    let failed = error("#!/bin/sh\necho 'E: https://t0ken@example.org has none'; echo bye; exit 3\n").await;
    assert!(failed.kind == PortErrorKind::Refused && failed.problem.contains("E: https://example.org has none"), "{failed}");
    let none = error("#!/bin/sh\n").await;
    assert!(none.problem.contains("no salt-call instead of Salt 3008.3"), "{none}");
    let program = "#!/bin/sh\nset -eu\n[ \"$2\" = master ]\nfor name in salt-call salt-minion salt-master salt-key salt-run salt; do\n    \
                   printf '#!/bin/sh\\necho \"%s %s\"\\n' $name \"$1\" >/usr/bin/$name\n    chmod 755 /usr/bin/$name\ndone\n";
    assert_eq!(bare.setup.install(&master, &by(program)).await.unwrap(), Change::Made);
    assert_eq!(bare.setup.install(&master, &by("#!/bin/sh\nexit 9\n")).await.unwrap(), Change::NotNeeded);
    assert_eq!(machine.shell("ls /var/lib/bldr /usr/sbin/policy-rc.d 2>/dev/null || true").await.unwrap(), "/var/lib/bldr:\n");
}
