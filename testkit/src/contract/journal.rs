//! What must hold of every `journal`?
