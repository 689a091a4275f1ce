//! What must hold of every `minions`?
