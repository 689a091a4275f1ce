//! What is EC2 in the lab? moto inside the hub: bldr talks to its endpoint, tests to its calls, its power switches to the hosts.

use super::{
    error::{LabError, LabResult, Trying},
    host::Host,
    hub::data,
    inside::{Running, entering_at},
    launch::{Launcher, launch, terminate},
};
use crate::disturbance::{Disturbance, counts};
use bldr_core::fleet::Ec2Id;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
    sync::{OnceCell, oneshot},
};

/// The region everything is in.
pub const REGION: &str = "us-east-1";

type Waiting = Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>;
pub(super) type Machines = Arc<Mutex<HashMap<Ec2Id, Host>>>;

/// What is asked of moto over its standard input, and who waits for which answer.
#[derive(Debug)]
pub(super) struct Line {
    calls: tokio::sync::Mutex<ChildStdin>,
    last_call: AtomicU64,
    waiting: Waiting,
    switching: Mutex<HashMap<Ec2Id, Switched>>,
}

/// A switch that was thrown; done once the machine is on or off.
type Switched = Shared<BoxFuture<'static, ()>>;

impl Line {
    /// A number that no other call has.
    pub(super) fn next_call(&self) -> u64 {
        self.last_call.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn ask(&self, mut call: Value) -> LabResult<Result<Value, String>> {
        let id = self.next_call();
        call["id"] = json!(id);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
        self.calls.lock().await.write_all(format!("{call}\n").as_bytes()).await.trying("moto's stdin")?;
        Ok(answered.await.unwrap_or_else(|_| Err("moto has ended".into())))
    }
}

/// What launched machines are, once somebody has said so.
type Launching = Arc<Mutex<Option<Launcher>>>;

/// moto, as the lab's programs see it.
#[derive(Debug)]
pub struct Ec2 {
    endpoint: String,
    pub(super) line: Arc<Line>,
    pub(super) machines: Machines,
    pub(super) launcher: Launching,
    pub(super) image: OnceCell<String>,
    subnet: Mutex<String>,
    _moto: Running,
}

/// The Python that has moto: `BLDR_VENV`, or what `testkit/python/venv.sh` makes.
fn python() -> LabResult<PathBuf> {
    let venv = std::env::var_os("BLDR_VENV").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build/venv"), PathBuf::from);
    let python = venv.join("bin/python3");
    if python.exists() {
        return Ok(python);
    }
    Err(LabError::Unavailable(format!("{} is missing: run testkit/python/venv.sh", python.display())))
}

impl Ec2 {
    pub(super) async fn new(hub: u32, dir: &Path) -> LabResult<Self> {
        let mut command = entering_at(hub, dir, python()?, &[data().join("moto_lab.py")]);
        command.envs(credentials());
        let log = dir.join("moto.log");
        let mut moto = Running::start_logging(command, Stdio::piped(), fs::File::create(&log).trying(log.display())?)?;
        let (Some(calls), Some(stdout)) = (moto.take_stdin(), moto.take_stdout()) else {
            return Err(LabError::broken("moto", "has no pipes"));
        };
        let mut lines = BufReader::new(stdout).lines();
        let port: Option<u16> = lines.next_line().await.trying("moto's first line")?.and_then(|line| line.parse().ok());
        let Some(port) = port else {
            return Err(LabError::broken("moto", fs::read_to_string(&log).unwrap_or_default().trim()));
        };
        let ec2 = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            line: Arc::new(Line {
                calls: tokio::sync::Mutex::new(calls),
                last_call: AtomicU64::new(0),
                waiting: Waiting::default(),
                switching: Mutex::default(),
            }),
            machines: Machines::default(),
            launcher: Launching::default(),
            image: OnceCell::new(),
            subnet: Mutex::default(),
            _moto: moto,
        };
        tokio::spawn(listen(lines, ec2.line.clone(), ec2.machines.clone(), ec2.launcher.clone()));
        ec2.make_subnet().await?;
        Ok(ec2)
    }

    async fn make_subnet(&self) -> LabResult<()> {
        let vpc = self.call("create_vpc", json!({"CidrBlock": "10.77.0.0/16"})).await?;
        let subnet = json!({"VpcId": vpc["Vpc"]["VpcId"], "CidrBlock": "10.77.0.0/16"});
        let subnet = self.call("create_subnet", subnet).await?;
        *self.subnet.lock().unwrap_or_else(PoisonError::into_inner) = text(&subnet["Subnet"]["SubnetId"]);
        Ok(())
    }

    /// Where it is, for programs in the hub.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What a program in the hub needs in its environment to find it.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = credentials();
        env.push(("AWS_ENDPOINT_URL".into(), self.endpoint.clone()));
        env
    }

    /// The subnet whose addresses are the bridge's: an instance elsewhere has an address that no host can have.
    pub fn subnet(&self) -> String {
        self.subnet.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks EC2, in boto3's words: `call("stop_instances", json!({"InstanceIds": ["i-…"]}))`.
    ///
    /// A machine whose power that changes is on or off when this returns, and one that it launches is up.
    ///
    /// # Errors
    /// When EC2 declines, or moto has ended.
    pub async fn call(&self, operation: &str, arguments: Value) -> LabResult<Value> {
        self.call_service("ec2", operation, arguments).await
    }

    /// The same of another service that moto has: `s3`.
    ///
    /// # Errors
    /// As [`Ec2::call`].
    pub async fn call_service(&self, service: &str, operation: &str, arguments: Value) -> LabResult<Value> {
        let call = json!({"endpoint": self.endpoint, "service": service, "operation": operation, "arguments": arguments});
        let reply = self.line.ask(call).await?.map_err(|said| LabError::Ec2 { operation: operation.into(), said })?;
        if !operation.starts_with("describe_") {
            let switched: Vec<_> = self.line.switching.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            join_all(switched).await;
        }
        Ok(reply)
    }

    /// How often each action has been called so far, by anybody; those of S3 are called `s3:METHOD:FOLDER`.
    ///
    /// # Errors
    /// When moto has ended.
    pub async fn asked(&self) -> LabResult<BTreeMap<String, usize>> {
        let said = self.own("GET", "asked", "").await?;
        let lines = said.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(lines.filter_map(|(action, n)| Some((action.to_owned(), n.parse().ok()?))).collect())
    }

    /// From now on something goes wrong. Its number, for [`Ec2::disturbed`].
    ///
    /// # Errors
    /// When moto has ended.
    pub async fn disturb(&self, disturbance: &Disturbance) -> LabResult<usize> {
        let order = disturbance.order().map_err(|error| LabError::broken("a disturbance", error))?;
        let said = self.own("POST", "disturbances", &order).await?;
        said.trim().parse().map_err(|_| LabError::broken("a disturbance", said))
    }

    /// How often each of them happened so far, by its number.
    ///
    /// # Errors
    /// When moto has ended.
    pub async fn disturbed(&self) -> LabResult<BTreeMap<usize, usize>> {
        Ok(counts(&self.own("GET", "disturbances", "").await?))
    }

    /// Ends all of them. How often each happened.
    ///
    /// # Errors
    /// When moto has ended.
    pub async fn undisturbed(&self) -> LabResult<BTreeMap<usize, usize>> {
        Ok(counts(&self.own("DELETE", "disturbances", "").await?))
    }

    async fn own(&self, method: &str, path: &str, body: &str) -> LabResult<String> {
        let reply = self.line.ask(json!({"endpoint": self.endpoint, "own": [method, path, body]})).await?;
        reply.map(|said| text(&said)).map_err(|said| LabError::Ec2 { operation: path.into(), said })
    }

    /// From now on that machine does what its switch says.
    pub(super) fn wire(&self, id: Ec2Id, host: Host) {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).insert(id, host);
    }
}

/// A string of a reply.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn credentials() -> Vec<(String, String)> {
    let pairs = [
        ("AWS_ACCESS_KEY_ID", "lab"),
        ("AWS_SECRET_ACCESS_KEY", "lab"),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // Whoever reads the operator's own files would ask the real one.
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("NO_PROXY", "*"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Hands out replies and throws switches, in moto's order: a switch is announced before the reply to whoever threw it.
async fn listen(mut lines: Lines<BufReader<ChildStdout>>, line: Arc<Line>, machines: Machines, launcher: Launching) {
    while let Ok(Some(said)) = lines.next_line().await {
        let Ok(said) = serde_json::from_str::<Value>(&said) else { continue };
        if let Some(id) = said["id"].as_u64() {
            let answer = line.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            let reply = said["error"].as_str().map_or_else(|| Ok(said["reply"].clone()), |error| Err(error.to_owned()));
            answer.map(|answer| answer.send(reply));
        } else if let Some(id) = said["power"].as_str() {
            let id = Ec2Id(id.into());
            // Starting a booted host takes seconds: they start side by side, each does in turn what its switch says.
            let mut switching = line.switching.lock().unwrap_or_else(PoisonError::into_inner);
            let switched = tokio::spawn(switch(switching.remove(&id), machines.clone(), said, line.clone()));
            switching.insert(id, switched.map(|_| ()).boxed().shared());
        } else if let Some(id) = said["launched"].as_str() {
            let (id, how) = (Ec2Id(id.into()), launcher.lock().unwrap_or_else(PoisonError::into_inner).clone());
            let launched = tokio::spawn(launch(how, said, machines.clone(), line.clone()));
            let mut switching = line.switching.lock().unwrap_or_else(PoisonError::into_inner);
            switching.insert(id, launched.map(|_| ()).boxed().shared());
        }
    }
    // Whoever still waits learns by this that nobody will answer.
    line.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// What cannot be switched, as a host that does not come up, is seen by whoever uses it.
async fn switch(before: Option<Switched>, machines: Machines, said: Value, line: Arc<Line>) {
    if let Some(before) = before {
        before.await;
    }
    let (id, state) = (Ec2Id(text(&said["power"]).into()), said["state"].as_str());
    // After what came before: a machine that is being launched has its host only then.
    let host = machines.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    if let Some(host) = host {
        let _ = match state {
            Some("running") => host.power_on(said["public"].as_str().and_then(|ip| ip.parse().ok())).await,
            Some("stopping") => host.power_off().await,
            _ => {
                machines.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                terminate(&id, &host).await
            }
        };
    }
    if state != Some("running") {
        let _ = line.ask(json!({"off": said["power"]})).await;
    }
}
