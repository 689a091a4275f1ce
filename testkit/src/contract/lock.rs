//! What must hold of every `lock`?
