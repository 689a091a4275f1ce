//! What bldr keeps in files: contexts, journals, the lock, what it remembers of stopped nodes, and the team's project
//! files.
//!
//! Whatever is written is written aside, flushed and renamed: after a crash a file is the old one or the new one.
//! Writers of one folder take turns, in one process or in several. Nothing is cached: the files are the truth.

mod contexts;
mod failure;
mod folder;
mod history;
mod off_thread;

pub use contexts::FileContexts;
