//! How long does a simulated fleet take, beside what it must take at least, and what does bldr itself need for it?

use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    event::{Event, Outcome, RunId},
    execute::{self, Ports, Run},
    fleet::Host,
    name::{NodeName, ProjectName, StackName},
    pace::Pacing,
    plan::{self, Scope},
    ports::{Clock, ContextStore, Journal, Operator, Position, Record, SharedAddress},
    soundness,
    survey::{self, AddressPolicy, Depth, Sources},
};
use bldr_testkit::{
    between::{Between, Call, Interposed},
    clock::VirtualClock,
    spec::FleetSpec,
    world::World,
};
use futures::executor::block_on;
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    error::Error,
    fs::File,
    future::{pending, poll_fn},
    hash::{Hash, Hasher},
    hint::black_box,
    io::Write,
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What takes how long, in milliseconds: an answer over SSH, one of a store, and what Salt does on a node.
const ANSWER: u64 = 150;
const STORED: u64 = 40;
const SWITCH: u64 = 6_500;
const PROOF: u64 = 2_500;
const PING: u64 = 1_700;
const HIGHSTATE: u64 = 30_000;
/// One machine in so many does not answer.
const DEAD: u64 = 500;
/// How many bytes a context has, as those of real fleets do: most of it is the project's data, which its nodes are not told.
const CONTEXT: usize = 5_000;

/// Somebody who makes everything take its time.
struct Slow<'a> {
    clock: &'a VirtualClock,
    calls: AtomicUsize,
    stored: AtomicUsize,
    /// The processor time of the simulated machines and stores, and of making them slow.
    simulated: Meter,
}

/// Processor time that is added up, and how often it was looked at for that: looking takes time, too.
#[derive(Default)]
struct Meter {
    nanos: AtomicU64,
    looks: AtomicU64,
}

impl Meter {
    fn read(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

/// Does it, and adds up the processor time it takes: one thread does all there is.
async fn timed<T>(meter: &Meter, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let begun = processor();
        let polled = work.as_mut().poll(context);
        let took = processor().saturating_sub(begun);
        meter.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        meter.looks.fetch_add(1, Ordering::Relaxed);
        polled
    })
    .await
}

/// A number that a node has, always the same.
fn lot(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Between half of that and one and a half times it, always the same for a node.
fn about(millis: u64, host: &Host, what: &str) -> Duration {
    Duration::from_millis(millis / 2 + millis * (lot(&(host.node.to_string(), what)) % 1000) / 1000)
}

impl Between for Slow<'_> {
    async fn through<T: Send>(&self, call: Call<'_>, work: impl Future<Output = PortResult<T>> + Send) -> PortResult<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let takes = match call {
            Call::Machine(host, what) => {
                let millis = match what {
                    "repoint" => SWITCH,
                    "prove" => PROOF,
                    "ping" => PING,
                    "highstate" => HIGHSTATE,
                    _ => ANSWER,
                };
                about(millis, host, what)
            }
            _ => {
                self.stored.fetch_add(usize::from(matches!(call, Call::Contexts | Call::Save(_))), Ordering::Relaxed);
                Duration::from_millis(STORED)
            }
        };
        let slowly = async {
            self.clock.sleep(takes).await;
            match call {
                Call::Machine(host, "examine") if lot(&host.node.to_string()) % DEAD == 0 => {
                    Err(PortError::new(PortErrorKind::Unreachable, host.node.to_string(), "nobody answers"))
                }
                _ => work.await,
            }
        };
        timed(&self.simulated, slowly).await
    }
}

/// A record that goes to a file, as a fleet's does, and fills no memory.
struct Recorded<'a> {
    ports: &'a Interposed<'a, Slow<'a>>,
    file: File,
}

#[async_trait::async_trait]
impl Journal for Recorded<'_> {
    async fn append(&self, _run: &RunId, records: &[Record]) -> PortResult<()> {
        let trouble = |error| PortError::new(PortErrorKind::Refused, "the record", "it cannot be written").caused_by(error);
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(|error| trouble(error.into()))?;
            lines.push(b'\n');
        }
        self.ports.between.through(Call::Journal, async { (&self.file).write_all(&lines).map_err(trouble) }).await
    }
    async fn read_on(&self, run: &RunId, from: Position) -> PortResult<(Vec<Record>, Position)> {
        self.ports.read_on(run, from).await
    }
    async fn runs(&self) -> PortResult<Vec<RunId>> {
        Journal::runs(self.ports).await
    }
    async fn keep_output(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String> {
        self.ports.keep_output(run, node, output).await
    }
}

/// Somebody who counts what they are told, as a screen does.
#[derive(Default)]
struct Counting {
    /// How long the stacks of each project were in work, in milliseconds.
    lanes: Mutex<BTreeMap<ProjectName, u64>>,
    events: AtomicUsize,
    paced: AtomicUsize,
}

#[async_trait::async_trait]
impl Operator for Counting {
    fn notify(&self, record: &Record) {
        self.events.fetch_add(1, Ordering::Relaxed);
        match &record.event {
            Event::StackFinished { stack, millis, .. } => {
                *self.lanes.lock().unwrap_or_else(PoisonError::into_inner).entry(stack.project().clone()).or_default() += millis;
            }
            Event::Paced { .. } => {
                self.paced.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
    fn interrupted(&self) -> bool {
        false
    }
    async fn interruption(&self) {
        pending::<()>().await;
    }
}

/// The processor time of this thread so far, which is the only one.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What it takes to ask for that once.
fn look() -> Duration {
    const TIMES: u32 = 100_000;
    let begun = processor();
    for _ in 0..TIMES {
        black_box(processor());
    }
    processor().saturating_sub(begun) / TIMES
}

/// A line of `/proc/self/status` in MiB.
fn memory(line: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let text = status.lines().find_map(|text| text.strip_prefix(line)).ok_or("no such line")?;
    Ok(text.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<u64>()? / 1024)
}

/// What a run of a fleet came to.
#[derive(Debug)]
pub struct Figures {
    /// How many machines there are, a stack each.
    pub minions: usize,
    /// The ceiling of stacks in work at once.
    pub jobs: usize,
    /// How many stacks were re-mastered, failed, and were held.
    pub ended: [usize; 3],
    /// How long the survey took, in milliseconds of the clock that is put forward.
    pub survey: u64,
    /// How long the run took, by that clock.
    pub makespan: u64,
    /// The least it can take: as long as the longest project, or all work divided by `jobs`.
    pub bound: u64,
    /// The processor time of bldr, of what is simulated, and of measuring both.
    pub processor: [Duration; 3],
    /// MiB for what was surveyed and planned.
    pub known: u64,
    /// The most MiB at one moment, without and with the simulated fleet as it was made.
    pub most: [u64; 2],
    /// Calls to the ports, and those of them to the contexts.
    pub calls: [usize; 2],
    /// Events, and those of them about the pace.
    pub events: [usize; 2],
}

/// Re-masters a fleet of so many minions, so many stacks at once.
///
/// # Errors
/// Whatever keeps it from being done, or from being measured.
pub fn run(minions: usize, jobs: usize) -> Result<Figures, Box<dyn Error>> {
    let world = World::new(&FleetSpec::of_minions(minions))?;
    for stack in block_on(world.contexts.list())? {
        let text = world.contexts.text(&stack).unwrap_or_default();
        let rest = "x".repeat(CONTEXT.saturating_sub(text.len()));
        world.contexts.put(&stack, &text.replacen("\"project\": {", &format!("\"project\": {{\"rest\": \"{rest}\", "), 1));
    }
    let (made, all) = (memory("VmRSS:")?, Meter::default());
    let clock = VirtualClock::default();
    let slow = Slow { clock: &clock, calls: AtomicUsize::new(0), stored: AtomicUsize::new(0), simulated: Meter::default() };
    let ports = Interposed { world: &world, between: slow };
    let journal = Recorded { ports: &ports, file: tempfile::tempfile()? };
    let operator = Counting::default();
    let addresses = AddressPolicy::default();
    let work = async {
        let sources = Sources {
            inventory: &ports,
            contexts: &ports,
            minions: &ports,
            masters: &ports,
            sleepers: &ports,
            addresses: &addresses,
            jobs: jobs.max(32),
        };
        let new: StackName = "master-server--b".parse()?;
        let mut fleet = survey::list(&sources).await?;
        let master = survey::new_master(&fleet, &new, None, &ports).await?;
        survey::deepen(&mut fleet, &sources, Some(&master.address), |_| Depth::Nodes).await;
        let surveyed = clock.now();
        let projects = world.projects.projects().await?;
        let plan = plan::plan(&fleet, &projects, &World::request(&master, Scope::Fleet));
        soundness::check(&plan, &fleet)?;
        let known = memory("VmRSS:")?.saturating_sub(made);
        let run = Run {
            id: RunId("run".into()),
            cloud: "world".into(),
            command: "bench_fleet".into(),
            allow_unshared: false,
            master,
            pacing: Pacing::jobs(jobs),
            addresses: addresses.clone(),
        };
        let of_the_run = Ports {
            contexts: &ports,
            minions: &ports,
            masters: &ports,
            power: &ports,
            sleepers: &ports,
            fence: &ports,
            journal: &journal,
            operator: &operator,
            clock: &clock,
        };
        let report = execute::execute(&plan, &fleet, &run, &of_the_run).await;
        Ok::<_, Box<dyn Error>>((surveyed.0, known, clock.now().0 - surveyed.0, report))
    };
    let (survey, known, makespan, report) = clock.run(timed(&all, work)).ok_or("it waits for something else than the clock")??;
    let lanes = operator.lanes.lock().unwrap_or_else(PoisonError::into_inner);
    let (longest, in_all): (u64, u64) = (lanes.values().copied().max().unwrap_or(0), lanes.values().sum());
    let bound = longest.max(in_all / jobs as u64);
    let count = |outcome| report.outcomes.values().filter(|is| **is == outcome).count();
    let between = &ports.between;
    // Of the two times that the clock is asked, half is in what was measured, and half in what is left.
    let looks = look() * u32::try_from(between.simulated.looks.load(Ordering::Relaxed))?;
    let simulated = between.simulated.read();
    let most = memory("VmHWM:")?;
    Ok(Figures {
        minions,
        jobs,
        ended: [Outcome::Remastered, Outcome::Failed, Outcome::Held].map(count),
        survey: u64::try_from(survey)?,
        makespan: u64::try_from(makespan)?,
        bound,
        processor: [all.read().saturating_sub(simulated).saturating_sub(looks), simulated.saturating_sub(looks), looks * 2],
        known,
        most: [most.saturating_sub(made), most],
        calls: [&between.calls, &between.stored].map(|calls| calls.load(Ordering::Relaxed)),
        events: [&operator.events, &operator.paced].map(|events| events.load(Ordering::Relaxed)),
    })
}

/// The table, in the words of docs/figures.md.
pub fn print(figures: &Figures) {
    let Figures { minions, jobs, ended: [remastered, failed, held], survey, makespan, bound, .. } = figures;
    println!("| | |\n|---|---:|");
    println!("| minions, stacks in work at once | {minions}, {jobs} |");
    println!("| re-mastered, failed, held | {remastered}, {failed}, {held} |");
    println!("| survey | {} s |", survey / 1000);
    println!("| run | {} s |", makespan / 1000);
    println!("| the least it can take: the longest project, or all work by {jobs} | {} s |", bound / 1000);
    println!("| beside that | {:.3} |", figures.beside_the_least());
    let [bldr, simulated, looks] = figures.processor.map(|time| time.as_secs_f64());
    println!(
        "| processor time of bldr, of the machines that are simulated, and of measuring both | {bldr:.2} s, {simulated:.2} s, {looks:.2} s |"
    );
    println!("| memory for what was surveyed and planned, contexts of {CONTEXT} bytes included | {} MiB |", figures.known);
    let [beyond, most] = figures.most;
    println!("| the most memory beyond that of the simulated fleet as it was made; with it | {beyond} MiB; {most} MiB |");
    let [calls, stored] = figures.calls.map(|calls| calls as f64 / *minions as f64);
    println!("| calls a minion; of them to the contexts | {calls:.1}; {stored:.1} |");
    let [events, paced] = figures.events;
    println!("| events; of them about the pace | {events}; {paced} |");
}

impl Figures {
    /// How many times the least it can take it took.
    pub fn beside_the_least(&self) -> f64 {
        self.makespan as f64 / self.bound as f64
    }
}
