//! Where do these tests connect to? A stock sshd on a loopback port, in namespaces where /etc, /var/lib, /run and the
//! processes are its own: what the scripts write and start there never reaches this machine, and ends with the server.

use bldr_adapters_ssh::{Pool, SshSettings, Transport};
use bldr_core::fleet::Host;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

const NAMESPACE: &str = r#"set -eu
dir=$1
mount -t tmpfs -o mode=755 tmpfs "$dir/ns"
mkdir "$dir/ns/eu" "$dir/ns/ew" "$dir/ns/vu" "$dir/ns/vw"
mount -t overlay -o "lowerdir=/etc,upperdir=$dir/ns/eu,workdir=$dir/ns/ew" overlay /etc
mount -t overlay -o "lowerdir=/var/lib,upperdir=$dir/ns/vu,workdir=$dir/ns/vw" overlay /var/lib
mount --bind "$dir/bin" /usr/local/bin
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
# Not the start-up files of whoever runs the tests.
sed -i 's,^root:.*,root:x:0:0::/:/bin/sh,' /etc/passwd
echo 'deploy:x:7001:7001::/:/bin/sh' >>/etc/passwd
echo 'bare:x:7002:7002::/:/bin/sh' >>/etc/passwd
printf 'deploy:*:19000::::::\nbare:*:19000::::::\n' >>/etc/shadow
echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/zz-deploy
chmod 0440 /etc/sudoers.d/zz-deploy
cp "$dir/authorized" /etc/ssh/authorized
chmod 0644 /etc/ssh/authorized
rm -rf /etc/salt /var/lib/bldr /etc/build-vars.json.b64
exec /usr/sbin/sshd -D -e -f "$dir/sshd_config"
"#;

// Answers as the test has decided, and says what it was asked.
const SALT_CALL: &str = "#!/bin/sh\necho \"$@\" >>DIR/salt-call.log\necho '[INFO    ] Executing state file.managed for [/x]' >&2\ncat DIR/highstate.json\nexit \"$(cat DIR/highstate.exit)\"\n";
// Kills the script that called it where the test wants to see a script die there.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$@" >>DIR/systemctl.log
[ ! -e "DIR/kill-at-$1" ] || { kill -9 $PPID; exit 1; }
code=$(cat DIR/systemctl.exit)
[ "$code" = 0 ] || exit "$code"
case $1 in stop | restart) kill "$(cat DIR/minion.pid 2>/dev/null)" 2>/dev/null; rm -f DIR/minion.pid ;; esac
case $1 in
start | restart)
    setsid bash -c 'exec -a salt-minion sleep infinity' </dev/null >/dev/null 2>&1 &
    echo $! >DIR/minion.pid
    ;;
esac
exit 0
"#;

// Tells of a connection to the configured master while that minion is up.
const SS: &str =
    "#!/bin/sh\n[ -e DIR/minion.pid ] || exit 0\nsed -n 's/^master: *\\(.*\\)/0 0 127.0.0.9:40000 \\1:4505/p' /etc/salt/minion\n";
// What a master's commands answer is for the test to say; the keys that are deleted are really gone.
const SALT: &str = "#!/bin/sh\necho \"$@\" >>DIR/salt.log\ncat DIR/salt.json\n";
const SALT_KEY: &str = "#!/bin/sh\necho \"$@\" >>DIR/salt-key.log\nfor id in $(echo \"$2\" | sed 's/--delete=//; s/,/ /g'); do rm -f /etc/salt/pki/master/*/\"$id\"; done\n";
const SALT_RUN: &str = "#!/bin/sh\necho \"$@\" >>DIR/salt-run.log\ncat \"DIR/$2.json\"\n";
const SALT_VERSION: &str = "#!/bin/sh\necho \"${0##*/} 3008.3 (Argon)\"\n";

// What changes files: kills the script at the one the test has chosen, before it has done anything.
const CHANGING: [&str; 6] = ["sync", "mv", "cp", "rm", "mkdir", "chmod"];
const KILLED: &str = "#!/bin/sh\n[ -e DIR/kill-at-change ] || exec \"/usr/bin/${0##*/}\" \"$@\"\nleft=$(cat DIR/kill-at-change)\n\
                      [ \"$left\" -gt 0 ] || { kill -9 $PPID; exit 1; }\necho $((left - 1)) >DIR/kill-at-change\nexec \"/usr/bin/${0##*/}\" \"$@\"\n";

/// A running sshd.
pub struct Server {
    process: Child,
    pub port: u16,
    pub dir: TempDir,
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // What is left are the sessions of clients that are gone as well.
    }
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a key pair and returns the private one's path.
pub fn keygen(folder: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let path_text = path.to_string_lossy().into_owned();
    let passphrase: &[&str] = if options.contains(&"-N") { &[] } else { &["-N", ""] };
    run("ssh-keygen", &[&["-q", "-f", &path_text, "-C", "test"], options, passphrase].concat());
    path
}

pub fn public(path: &Path) -> String {
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

impl Server {
    /// An sshd with an ed25519 host key, which lets in whoever has `client` or `other`.
    pub fn start() -> Self {
        Self::with("")
    }

    /// One with more lines in its configuration. `HostKey` lines replace the usual host key.
    pub fn with(lines: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        for folder in ["ns", "bin"] {
            fs::create_dir(path.join(folder)).unwrap();
        }
        keygen(path, "client", &["-t", "ed25519"]);
        keygen(path, "host_ed25519", &["-t", "ed25519"]);
        fs::write(path.join("authorized"), public(&path.join("client"))).unwrap();
        let stubs = [
            ("salt-call", SALT_CALL),
            ("systemctl", SYSTEMCTL),
            ("ss", SS),
            ("salt", SALT),
            ("salt-key", SALT_KEY),
            ("salt-run", SALT_RUN),
            ("salt-minion", SALT_VERSION),
            ("salt-master", SALT_VERSION),
        ];
        for (name, text) in stubs.into_iter().chain(CHANGING.map(|name| (name, KILLED))) {
            fs::write(path.join("bin").join(name), text.replace("DIR", &path.to_string_lossy())).unwrap();
            run("chmod", &["755", &path.join("bin").join(name).to_string_lossy()]);
        }
        fs::write(path.join("systemctl.exit"), "0").unwrap();
        for _ in 0..5 {
            if let Some((process, port, log)) = launch(path, lines) {
                return Self { process, port, dir, log };
            }
        }
        panic!("sshd did not start");
    }

    /// The client key that is let in.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("client")
    }

    /// Lets in another key as well.
    pub fn authorize(&self, key: &Path) {
        let file = self.inside("/etc/ssh/authorized");
        let text = fs::read_to_string(&file).unwrap() + &public(key);
        fs::write(file, text).unwrap();
    }

    /// A path of the server's own file system.
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.process.id()))
    }

    /// The host key as known_hosts has it.
    pub fn host_line(&self) -> String {
        let key = public(&self.dir.path().join("host_ed25519"));
        format!("[127.0.0.1]:{} {}\n", self.port, key.trim().trim_end_matches(" test"))
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Settings that know nothing of this machine's user: one key, root, and a known_hosts of its own.
    pub fn settings(&self, transport: Transport) -> SshSettings {
        let endpoints = (1..=40).map(|n| (host(n).node, self.address())).collect();
        SshSettings {
            transport,
            user: "root".into(),
            endpoints,
            home: self.dir.path().into(),
            config: None,
            key_files: vec![self.key()],
            keypairs: None,
            agent: None,
            known_hosts: self.dir.path().join("known_hosts"),
            ..SshSettings::default()
        }
    }

    pub fn pool(&self, transport: Transport) -> Pool {
        Pool::new(self.settings(transport))
    }

    pub fn known_hosts(&self) -> String {
        fs::read_to_string(self.dir.path().join("known_hosts")).unwrap_or_default()
    }

    pub fn learn(&self, text: &str) {
        fs::write(self.dir.path().join("known_hosts"), text).unwrap();
    }

    /// How many logins it has accepted.
    pub fn logins(&self) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.starts_with("Accepted publickey")).count()
    }

    fn sessions(&self) -> Vec<String> {
        let children = |pid: &str| -> Vec<String> {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            children.split_whitespace().map(Into::into).collect()
        };
        // Whatever lost its parent is a child of sshd too: it is the first process of its namespace.
        let is_session = |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("sshd"));
        children(&self.process.id().to_string()).iter().flat_map(|sshd| children(sshd)).filter(is_session).collect()
    }

    /// Kills the sessions, not the server.
    pub fn kill_sessions(&self) {
        self.sessions().iter().for_each(|child| drop(run("kill", &["-9", child])));
    }

    /// Comes back once the server has no session any more.
    pub async fn no_sessions(&self) {
        within_ten_seconds(|| self.sessions().is_empty()).await;
    }

    /// Comes back once its clients have noticed that their sessions are gone, and closed their ends.
    pub async fn noticed(&self) {
        let port = format!(":{:04X}", self.port);
        within_ten_seconds(|| {
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            const CLOSE_WAIT: &str = "08";
            !rows.any(|row| row.len() > 3 && row[2].ends_with(&port) && (row[3] == CLOSE_WAIT || row[3] == "01"))
        })
        .await;
    }

    /// What a stub was asked so far, a call a line.
    pub fn calls(&self, program: &str) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join(format!("{program}.log"))).unwrap_or_default();
        log.lines().map(Into::into).collect()
    }
}

async fn within_ten_seconds(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            // /proc tells nobody when it changes.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.expect("it never came to be so");
}

type Launched = (Child, u16, Arc<Mutex<Vec<String>>>);

/// A port that was free a moment ago; somebody else may have taken it since.
fn launch(path: &Path, lines: &str) -> Option<Launched> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = path.to_string_lossy();
    let host_key = if lines.contains("HostKey ") { String::new() } else { format!("HostKey {dir}/host_ed25519\n") };
    // The usual key exchange takes a quarter of a second of computing at each end.
    let kex = if lines.contains("KexAlgorithms") { "" } else { "KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org\n" };
    let config = format!(
        "{}\n{host_key}{kex}Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nAuthorizedKeysFile /etc/ssh/authorized\nPermitRootLogin yes\nMaxStartups 200\nUseDNS no\n",
        lines.replace("DIR", &dir)
    );
    fs::write(path.join("sshd_config"), config).unwrap();
    let mut process = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c", NAMESPACE, "sh", &dir])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let log = Arc::new(Mutex::new(Vec::new()));
    if !lines.by_ref().any(|line| line.starts_with("Server listening")) {
        let _ = process.wait();
        return None;
    }
    let heard = log.clone();
    std::thread::spawn(move || lines.for_each(|line| heard.lock().unwrap().push(line)));
    Some((process, port, log))
}

/// A node; all of them are the same server.
pub fn host(number: u64) -> Host {
    Host { node: format!("harbor--ci--{number}").parse().unwrap(), address: "192.0.2.1".parse().unwrap() }
}

/// The same test over both transports.
macro_rules! over_both {
    ($($(#[$doc:meta])* async fn $name:ident($transport:ident) $body:block)*) => {
        $(async fn $name($transport: bldr_adapters_ssh::Transport) $body)*
        mod over_thrussh {
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(bldr_adapters_ssh::Transport::Thrussh).await })*
        }
        mod over_system_ssh {
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(bldr_adapters_ssh::Transport::System).await })*
        }
    };
}
pub(crate) use over_both;
