//! What bldr keeps in files: contexts, key pairs, journals, the lock, what it remembers of stopped nodes, and the team's project
//! files.
//!
//! Whatever is written is written aside, flushed and renamed: after a crash a file is the old one or the new one.
//! Writers of one folder take turns, in one process or in several. Nothing is cached: the files are the truth.

mod address_edit;
mod contexts;
mod failure;
mod folder;
mod git;
mod history;
mod journal;
mod key_pairs;
mod keys;
mod launches;
mod lock;
mod off_thread;
mod projects;
mod sleepers;
mod yaml;

pub use contexts::FileContexts;
pub use journal::FileJournal;
pub use key_pairs::FileKeyPairs;
pub use keys::Keys;
pub use launches::FileLaunches;
pub use lock::FileLock;
pub use projects::FileProjects;
pub use sleepers::FileSleepers;
