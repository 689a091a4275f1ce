//! Where is everything kept? In files; or what a team shares in a bucket, where settings.yaml says so.

use super::{Place, clock, lock};
use crate::{commands::fleet_lock::Gate, exit::Exit, kept::Kept, operator, settings::Cloud};
use bldr_adapters_aws::{BucketPlace, S3, S3KeyPairs};
use bldr_adapters_fs::{FileContexts, FileJournal, FileKeyPairs, FileLaunches, FileProjects, FileSleepers, Keys};
use bldr_adapters_ssh::KeyCourier;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{Clock, ContextStore, Journal, KeyPairs, Launches, Lock, SharedAddress, Sleepers},
};
use bldr_testkit::sandbox::made_up_marker;
use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// What is kept, whatever the cloud.
pub struct Stores {
    /// The contexts.
    pub contexts: Arc<dyn ContextStore>,
    /// The project files.
    pub shared: Arc<dyn SharedAddress>,
    /// The record of runs.
    pub journal: Arc<dyn Journal>,
    /// The fleet's lock.
    pub lock: Arc<dyn Lock>,
    /// Whether it is held.
    pub gate: Arc<Gate>,
    /// What is remembered of stopped nodes.
    pub sleepers: Arc<dyn Sleepers>,
    /// Which launches were cut short.
    pub launches: Arc<dyn Launches>,
    /// The key pairs of stacks.
    pub key_pairs: Arc<dyn KeyPairs>,
    /// Where their private halves are for `ssh`.
    pub(super) keys: PrivateKeys,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Stores {
    /// The stores of this place. In the sandbox a fleet is made up where there is none yet.
    ///
    /// # Errors
    /// A sandbox that cannot be made, and settings that name no region where something is in S3.
    pub async fn open(place: &Place) -> Result<Self, Exit> {
        let (clock, settings) = (clock(), &place.settings);
        let buckets = Buckets { place, clock: &clock, s3: OnceCell::new() };
        let (key_pairs, keys): (Arc<dyn KeyPairs>, _) = match &settings.keypairs {
            Kept::Folder(folder) => (Arc::new(FileKeyPairs::new(place.path(folder))), PrivateKeys::Kept(place.path(folder))),
            Kept::Bucket { bucket, folder } => {
                let pairs = buckets.connect().await?.key_pairs(&BucketPlace::new(bucket, folder), Arc::new(Keys));
                (Arc::new(pairs.clone()), PrivateKeys::Fetched(Box::new(Fetched::new(pairs)?)))
            }
        };
        if let (Cloud::Aws, Kept::Bucket { bucket, folder }) = (settings.cloud, &settings.contexts) {
            let (s3, contexts) = (buckets.connect().await?, BucketPlace::new(bucket, folder));
            let beside = contexts.beside("bldr");
            return Ok(Self {
                contexts: Arc::new(s3.contexts(&contexts)),
                shared: Arc::new(FileProjects::new(project_files(place))),
                journal: Arc::new(s3.journal(&beside)),
                lock: Arc::new(s3.lock(&beside)),
                gate: Arc::default(),
                sleepers: Arc::new(s3.sleepers(&beside)),
                launches: Arc::new(s3.launches(&beside)),
                key_pairs,
                keys,
                clock,
            });
        }
        let (contexts, projects) = in_files(place, &clock)?;
        Ok(Self {
            contexts: Arc::new(FileContexts::new(contexts, clock.clone())),
            shared: Arc::new(FileProjects::new(projects)),
            journal: Arc::new(FileJournal::new(place.home.join(".bldr/runs"))),
            lock: lock(place),
            gate: Arc::default(),
            sleepers: Arc::new(FileSleepers::new(place.home.join(".bldr/sleepers"))),
            launches: Arc::new(FileLaunches::new(place.home.join(".bldr/launches"))),
            key_pairs,
            keys,
            clock,
        })
    }
}

fn project_files(place: &Place) -> Vec<PathBuf> {
    place.settings.project_files.iter().map(|file| place.path(file)).collect()
}

/// The folder of the contexts, and the project files.
fn in_files(place: &Place, clock: &Arc<dyn Clock>) -> Result<(PathBuf, Vec<PathBuf>), Exit> {
    if let (Cloud::Aws, Kept::Folder(folder)) = (place.settings.cloud, &place.settings.contexts) {
        let contexts = place.path(folder);
        if made_up_marker(&contexts).exists() {
            let problem = format!("the contexts in {} are the sandbox's, and not those of a real fleet", contexts.display());
            return Err(Exit::refused(problem).line("nothing was changed").line("remove that folder, or name another one as `contexts`"));
        }
        return Ok((contexts, project_files(place)));
    }
    let sandbox = place.sandbox();
    sandbox.ensure(clock)?;
    Ok((sandbox.contexts(), vec![sandbox.project_file()]))
}

/// The way to S3: one, so that all that is written there is written under the same epoch of the lock.
struct Buckets<'a> {
    place: &'a Place,
    clock: &'a Arc<dyn Clock>,
    s3: OnceCell<S3>,
}

impl Buckets<'_> {
    async fn connect(&self) -> Result<S3, Exit> {
        let connect = async || {
            let region = self.place.settings.region.clone();
            S3::connect(region, &operator::user(), &operator::host(), self.clock.clone()).await.map_err(Exit::blind)
        };
        self.s3.get_or_try_init(connect).await.cloned()
    }
}

/// Where the private halves of key pairs are for `ssh`, which reads files.
pub(super) enum PrivateKeys {
    /// In the folder they are kept in.
    Kept(PathBuf),
    /// Each is fetched when it is needed first, and is gone with this process.
    Fetched(Box<Fetched>),
}

/// A folder for this user alone, for as long as this lives.
pub(super) struct Fetched {
    folder: Arc<TempDir>,
    pairs: S3KeyPairs,
    /// Whether each stack's is there. Connections to several nodes of a stack wait for each other here.
    fetched: Arc<Mutex<HashMap<StackName, Arc<tokio::sync::Mutex<bool>>>>>,
}

impl Fetched {
    fn new(pairs: S3KeyPairs) -> Result<Self, Exit> {
        let folder = TempDir::with_prefix("bldr-keys-");
        let folder =
            folder.map_err(|error| Exit::refused(format!("{}: no folder can be made there: {error}", std::env::temp_dir().display())))?;
        Ok(Self { folder: Arc::new(folder), pairs, fetched: Arc::default() })
    }
}

impl PrivateKeys {
    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Self::Kept(folder) => folder.clone(),
            Self::Fetched(fetched) => fetched.folder.path().to_owned(),
        }
    }

    /// What brings a stack's key there.
    pub(super) fn courier(&self) -> Option<KeyCourier> {
        let Self::Fetched(kept) = self else { return None };
        let Fetched { folder, pairs, fetched } = &**kept;
        let (folder, pairs, fetched) = (folder.clone(), pairs.clone(), fetched.clone());
        Some(Arc::new(move |stack| {
            let (folder, pairs, fetched) = (folder.clone(), pairs.clone(), fetched.clone());
            Box::pin(async move {
                let its = fetched.lock().unwrap_or_else(PoisonError::into_inner).entry(stack.clone()).or_default().clone();
                let mut is_there = its.lock().await;
                if *is_there {
                    return Ok(());
                }
                match pairs.private_half(&stack).await {
                    Ok(None) => return Ok(()),
                    // Whoever may not see the keys of stacks has one of their own.
                    Err(error) if error.kind == PortErrorKind::Denied => return Ok(()),
                    kept => put(&folder, &stack, kept?.map(|key| key.0).unwrap_or_default().as_bytes())?,
                }
                *is_there = true;
                Ok(())
            })
        }))
    }
}

/// Written aside first: `ssh` never sees half of a key.
fn put(folder: &TempDir, stack: &StackName, key: &[u8]) -> PortResult<()> {
    static ASIDE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let file = folder.path().join(format!("{stack}.pem"));
    let aside = file.with_extension(format!("{}", ASIDE.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside);
    let written = opened.and_then(|mut opened| opened.write_all(key)).and_then(|()| std::fs::rename(&aside, &file));
    written.map_err(|error| PortError::new(PortErrorKind::Refused, file.display().to_string(), "it cannot be written").caused_by(error))
}
