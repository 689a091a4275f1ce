//! What must hold of every `shared_address`?
