//! Server names: which are acceptable, and their canonical form.
