//! What must hold of every `context_store`?
