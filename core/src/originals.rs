//! What did a survey read of the contexts that are to be rewritten? Each text is kept until its stack's turn comes, and no longer.
//!
//! So a context is asked for once, however long the run: that it is still what was read is for the store to say when it is replaced.

use crate::{name::StackName, ports::Document};
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Contexts as they were read, with what to hand to the store to replace exactly them. They hold secrets: never printed.
#[derive(Default)]
pub struct Originals(Mutex<HashMap<StackName, Document>>);

impl Originals {
    fn all(&self) -> MutexGuard<'_, HashMap<StackName, Document>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, stack: &StackName, mut read: Document) {
        read.text.shrink_to_fit();
        self.all().insert(stack.clone(), read);
    }

    /// Hands one out; it is not kept any longer.
    pub(crate) fn take(&self, stack: &StackName) -> Option<Document> {
        self.all().remove(stack)
    }
}

impl fmt::Debug for Originals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.all().keys()).finish()
    }
}
