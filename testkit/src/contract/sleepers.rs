//! What must hold of every `sleepers`?
