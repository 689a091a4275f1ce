//! What must hold of every `inventory`?
